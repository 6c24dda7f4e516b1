"""What is told of messages that were given up."""

from parsl_collector._losses import kind_of
from parsl_collector._pb import messages_pb2 as pb


def test_a_message_is_told_by_the_name_that_the_collector_has_for_its_kind():
    task = pb.MonitoringMessage(task_info=pb.TaskInfo(task_id=1))
    usage = pb.MonitoringMessage(node_usage=pb.NodeUsage(load1=1))
    unreadable = pb.MonitoringMessage(unreadable_message=pb.UnreadableMessage(reason="none"))

    kinds = [kind_of(each.SerializeToString()) for each in (task, usage, unreadable)]

    assert kinds == ["TASK_INFO", "NODE_USAGE", ""]
