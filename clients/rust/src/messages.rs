//! From one kind of message to the message that is sent.

use crate::proto::{
    BlockInfo, MonitoringMessage, NodeInfo, NodeUsage, ResourceInfo, TaskInfo, UnreadableMessage, WorkerTaskInfo,
    WorkflowEnd, WorkflowInfo, WorkflowStart, monitoring_message::Kind, workflow_info::Phase,
};

macro_rules! kinds {
    ($($kind:ident),*) => {$(
        impl From<$kind> for MonitoringMessage {
            fn from(info: $kind) -> Self {
                Self { kind: Some(Kind::$kind(info)) }
            }
        }
    )*};
}

kinds!(WorkflowInfo, TaskInfo, NodeInfo, BlockInfo, ResourceInfo, WorkerTaskInfo, NodeUsage, UnreadableMessage);

impl From<WorkflowStart> for MonitoringMessage {
    fn from(start: WorkflowStart) -> Self {
        WorkflowInfo { run_id: None, phase: Some(Phase::Start(start)) }.into()
    }
}

impl From<WorkflowEnd> for MonitoringMessage {
    fn from(end: WorkflowEnd) -> Self {
        WorkflowInfo { run_id: None, phase: Some(Phase::End(end)) }.into()
    }
}
