from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MonitoringMessage(_message.Message):
    __slots__ = ("workflow_info", "task_info", "node_info", "block_info", "resource_info", "worker_task_info", "node_usage", "unreadable_message")
    WORKFLOW_INFO_FIELD_NUMBER: _ClassVar[int]
    TASK_INFO_FIELD_NUMBER: _ClassVar[int]
    NODE_INFO_FIELD_NUMBER: _ClassVar[int]
    BLOCK_INFO_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_INFO_FIELD_NUMBER: _ClassVar[int]
    WORKER_TASK_INFO_FIELD_NUMBER: _ClassVar[int]
    NODE_USAGE_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    workflow_info: WorkflowInfo
    task_info: TaskInfo
    node_info: NodeInfo
    block_info: BlockInfo
    resource_info: ResourceInfo
    worker_task_info: WorkerTaskInfo
    node_usage: NodeUsage
    unreadable_message: UnreadableMessage
    def __init__(self, workflow_info: _Optional[_Union[WorkflowInfo, _Mapping]] = ..., task_info: _Optional[_Union[TaskInfo, _Mapping]] = ..., node_info: _Optional[_Union[NodeInfo, _Mapping]] = ..., block_info: _Optional[_Union[BlockInfo, _Mapping]] = ..., resource_info: _Optional[_Union[ResourceInfo, _Mapping]] = ..., worker_task_info: _Optional[_Union[WorkerTaskInfo, _Mapping]] = ..., node_usage: _Optional[_Union[NodeUsage, _Mapping]] = ..., unreadable_message: _Optional[_Union[UnreadableMessage, _Mapping]] = ...) -> None: ...

class WorkflowInfo(_message.Message):
    __slots__ = ("run_id", "start", "end")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    start: WorkflowStart
    end: WorkflowEnd
    def __init__(self, run_id: _Optional[str] = ..., start: _Optional[_Union[WorkflowStart, _Mapping]] = ..., end: _Optional[_Union[WorkflowEnd, _Mapping]] = ...) -> None: ...

class WorkflowStart(_message.Message):
    __slots__ = ("python_version", "parsl_version", "time_began", "workflow_name", "workflow_version", "rundir", "tasks_completed_count", "tasks_failed_count", "user", "host")
    PYTHON_VERSION_FIELD_NUMBER: _ClassVar[int]
    PARSL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TIME_BEGAN_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_VERSION_FIELD_NUMBER: _ClassVar[int]
    RUNDIR_FIELD_NUMBER: _ClassVar[int]
    TASKS_COMPLETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TASKS_FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    python_version: str
    parsl_version: str
    time_began: _timestamp_pb2.Timestamp
    workflow_name: str
    workflow_version: str
    rundir: str
    tasks_completed_count: int
    tasks_failed_count: int
    user: str
    host: str
    def __init__(self, python_version: _Optional[str] = ..., parsl_version: _Optional[str] = ..., time_began: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., workflow_name: _Optional[str] = ..., workflow_version: _Optional[str] = ..., rundir: _Optional[str] = ..., tasks_completed_count: _Optional[int] = ..., tasks_failed_count: _Optional[int] = ..., user: _Optional[str] = ..., host: _Optional[str] = ...) -> None: ...

class WorkflowEnd(_message.Message):
    __slots__ = ("tasks_completed_count", "tasks_failed_count", "time_completed", "rundir")
    TASKS_COMPLETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TASKS_FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TIME_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    RUNDIR_FIELD_NUMBER: _ClassVar[int]
    tasks_completed_count: int
    tasks_failed_count: int
    time_completed: _timestamp_pb2.Timestamp
    rundir: str
    def __init__(self, tasks_completed_count: _Optional[int] = ..., tasks_failed_count: _Optional[int] = ..., time_completed: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., rundir: _Optional[str] = ...) -> None: ...

class TaskInfo(_message.Message):
    __slots__ = ("run_id", "task_id", "try_id", "timestamp", "task_status_name", "task_status", "task_func_name", "task_memoize", "task_hashsum", "task_fail_count", "task_fail_cost", "task_time_invoked", "task_try_time_launched", "task_time_returned", "task_try_time_returned", "task_executor", "tasks_failed_count", "tasks_completed_count", "tasks_memo_completed_count", "from_memo", "task_inputs", "task_outputs", "task_stdin", "task_stdout", "task_stderr", "task_fail_history", "task_depends", "task_joins")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TRY_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    TASK_STATUS_NAME_FIELD_NUMBER: _ClassVar[int]
    TASK_STATUS_FIELD_NUMBER: _ClassVar[int]
    TASK_FUNC_NAME_FIELD_NUMBER: _ClassVar[int]
    TASK_MEMOIZE_FIELD_NUMBER: _ClassVar[int]
    TASK_HASHSUM_FIELD_NUMBER: _ClassVar[int]
    TASK_FAIL_COUNT_FIELD_NUMBER: _ClassVar[int]
    TASK_FAIL_COST_FIELD_NUMBER: _ClassVar[int]
    TASK_TIME_INVOKED_FIELD_NUMBER: _ClassVar[int]
    TASK_TRY_TIME_LAUNCHED_FIELD_NUMBER: _ClassVar[int]
    TASK_TIME_RETURNED_FIELD_NUMBER: _ClassVar[int]
    TASK_TRY_TIME_RETURNED_FIELD_NUMBER: _ClassVar[int]
    TASK_EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    TASKS_FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TASKS_COMPLETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TASKS_MEMO_COMPLETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    FROM_MEMO_FIELD_NUMBER: _ClassVar[int]
    TASK_INPUTS_FIELD_NUMBER: _ClassVar[int]
    TASK_OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    TASK_STDIN_FIELD_NUMBER: _ClassVar[int]
    TASK_STDOUT_FIELD_NUMBER: _ClassVar[int]
    TASK_STDERR_FIELD_NUMBER: _ClassVar[int]
    TASK_FAIL_HISTORY_FIELD_NUMBER: _ClassVar[int]
    TASK_DEPENDS_FIELD_NUMBER: _ClassVar[int]
    TASK_JOINS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    task_id: int
    try_id: int
    timestamp: _timestamp_pb2.Timestamp
    task_status_name: str
    task_status: int
    task_func_name: str
    task_memoize: bool
    task_hashsum: str
    task_fail_count: int
    task_fail_cost: float
    task_time_invoked: _timestamp_pb2.Timestamp
    task_try_time_launched: _timestamp_pb2.Timestamp
    task_time_returned: _timestamp_pb2.Timestamp
    task_try_time_returned: _timestamp_pb2.Timestamp
    task_executor: str
    tasks_failed_count: int
    tasks_completed_count: int
    tasks_memo_completed_count: int
    from_memo: bool
    task_inputs: str
    task_outputs: str
    task_stdin: str
    task_stdout: str
    task_stderr: str
    task_fail_history: str
    task_depends: str
    task_joins: str
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[int] = ..., try_id: _Optional[int] = ..., timestamp: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., task_status_name: _Optional[str] = ..., task_status: _Optional[int] = ..., task_func_name: _Optional[str] = ..., task_memoize: bool = ..., task_hashsum: _Optional[str] = ..., task_fail_count: _Optional[int] = ..., task_fail_cost: _Optional[float] = ..., task_time_invoked: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., task_try_time_launched: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., task_time_returned: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., task_try_time_returned: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., task_executor: _Optional[str] = ..., tasks_failed_count: _Optional[int] = ..., tasks_completed_count: _Optional[int] = ..., tasks_memo_completed_count: _Optional[int] = ..., from_memo: bool = ..., task_inputs: _Optional[str] = ..., task_outputs: _Optional[str] = ..., task_stdin: _Optional[str] = ..., task_stdout: _Optional[str] = ..., task_stderr: _Optional[str] = ..., task_fail_history: _Optional[str] = ..., task_depends: _Optional[str] = ..., task_joins: _Optional[str] = ...) -> None: ...

class WorkerTaskInfo(_message.Message):
    __slots__ = ("run_id", "task_id", "try_id", "hostname", "block_id", "first_msg", "last_msg", "timestamp", "process_pid", "resource_monitoring_interval")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TRY_ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    BLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_MSG_FIELD_NUMBER: _ClassVar[int]
    LAST_MSG_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    PROCESS_PID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_MONITORING_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    task_id: int
    try_id: int
    hostname: str
    block_id: str
    first_msg: bool
    last_msg: bool
    timestamp: _timestamp_pb2.Timestamp
    process_pid: int
    resource_monitoring_interval: float
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[int] = ..., try_id: _Optional[int] = ..., hostname: _Optional[str] = ..., block_id: _Optional[str] = ..., first_msg: bool = ..., last_msg: bool = ..., timestamp: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., process_pid: _Optional[int] = ..., resource_monitoring_interval: _Optional[float] = ...) -> None: ...

class ResourceInfo(_message.Message):
    __slots__ = ("run_id", "task_id", "try_id", "timestamp", "hostname", "resource_monitoring_interval", "psutil_process_pid", "psutil_process_memory_percent", "psutil_process_children_count", "psutil_process_time_user", "psutil_process_time_system", "psutil_process_memory_virtual", "psutil_process_memory_resident", "psutil_process_disk_read", "psutil_process_disk_write", "psutil_process_status", "psutil_cpu_num", "psutil_process_num_ctx_switches_voluntary", "psutil_process_num_ctx_switches_involuntary", "psutil_cpu_count", "psutil_process_cpu_num", "psutil_process_create_time", "psutil_process_cwd", "psutil_process_exe", "psutil_process_name", "psutil_process_nice", "psutil_process_num_threads", "psutil_process_ppid", "psutil_process_username")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TRY_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_MONITORING_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_PID_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_MEMORY_PERCENT_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_CHILDREN_COUNT_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_TIME_USER_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_TIME_SYSTEM_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_MEMORY_VIRTUAL_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_MEMORY_RESIDENT_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_DISK_READ_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_DISK_WRITE_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_STATUS_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_CPU_NUM_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_NUM_CTX_SWITCHES_VOLUNTARY_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_NUM_CTX_SWITCHES_INVOLUNTARY_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_CPU_COUNT_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_CPU_NUM_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_CWD_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_EXE_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_NAME_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_NICE_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_NUM_THREADS_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_PPID_FIELD_NUMBER: _ClassVar[int]
    PSUTIL_PROCESS_USERNAME_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    task_id: int
    try_id: int
    timestamp: _timestamp_pb2.Timestamp
    hostname: str
    resource_monitoring_interval: float
    psutil_process_pid: int
    psutil_process_memory_percent: float
    psutil_process_children_count: float
    psutil_process_time_user: float
    psutil_process_time_system: float
    psutil_process_memory_virtual: float
    psutil_process_memory_resident: float
    psutil_process_disk_read: float
    psutil_process_disk_write: float
    psutil_process_status: str
    psutil_cpu_num: int
    psutil_process_num_ctx_switches_voluntary: float
    psutil_process_num_ctx_switches_involuntary: float
    psutil_cpu_count: int
    psutil_process_cpu_num: int
    psutil_process_create_time: float
    psutil_process_cwd: str
    psutil_process_exe: str
    psutil_process_name: str
    psutil_process_nice: int
    psutil_process_num_threads: int
    psutil_process_ppid: int
    psutil_process_username: str
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[int] = ..., try_id: _Optional[int] = ..., timestamp: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., hostname: _Optional[str] = ..., resource_monitoring_interval: _Optional[float] = ..., psutil_process_pid: _Optional[int] = ..., psutil_process_memory_percent: _Optional[float] = ..., psutil_process_children_count: _Optional[float] = ..., psutil_process_time_user: _Optional[float] = ..., psutil_process_time_system: _Optional[float] = ..., psutil_process_memory_virtual: _Optional[float] = ..., psutil_process_memory_resident: _Optional[float] = ..., psutil_process_disk_read: _Optional[float] = ..., psutil_process_disk_write: _Optional[float] = ..., psutil_process_status: _Optional[str] = ..., psutil_cpu_num: _Optional[int] = ..., psutil_process_num_ctx_switches_voluntary: _Optional[float] = ..., psutil_process_num_ctx_switches_involuntary: _Optional[float] = ..., psutil_cpu_count: _Optional[int] = ..., psutil_process_cpu_num: _Optional[int] = ..., psutil_process_create_time: _Optional[float] = ..., psutil_process_cwd: _Optional[str] = ..., psutil_process_exe: _Optional[str] = ..., psutil_process_name: _Optional[str] = ..., psutil_process_nice: _Optional[int] = ..., psutil_process_num_threads: _Optional[int] = ..., psutil_process_ppid: _Optional[int] = ..., psutil_process_username: _Optional[str] = ...) -> None: ...

class NodeInfo(_message.Message):
    __slots__ = ("run_id", "timestamp", "hostname", "uid", "block_id", "cpu_count", "total_memory", "active", "worker_count", "python_v", "last_heartbeat", "start_time", "idle_since", "drain_time", "draining", "tasks", "max_capacity", "prefetch_capacity", "type", "os", "dir", "parsl_version", "python_version", "parsl_v", "packages")
    class PackagesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    BLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    CPU_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MEMORY_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    WORKER_COUNT_FIELD_NUMBER: _ClassVar[int]
    PYTHON_V_FIELD_NUMBER: _ClassVar[int]
    LAST_HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    IDLE_SINCE_FIELD_NUMBER: _ClassVar[int]
    DRAIN_TIME_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    MAX_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    PREFETCH_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    OS_FIELD_NUMBER: _ClassVar[int]
    DIR_FIELD_NUMBER: _ClassVar[int]
    PARSL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PYTHON_VERSION_FIELD_NUMBER: _ClassVar[int]
    PARSL_V_FIELD_NUMBER: _ClassVar[int]
    PACKAGES_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    timestamp: _timestamp_pb2.Timestamp
    hostname: str
    uid: str
    block_id: str
    cpu_count: int
    total_memory: int
    active: bool
    worker_count: int
    python_v: str
    last_heartbeat: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    idle_since: _timestamp_pb2.Timestamp
    drain_time: float
    draining: bool
    tasks: _containers.RepeatedScalarFieldContainer[int]
    max_capacity: int
    prefetch_capacity: int
    type: str
    os: str
    dir: str
    parsl_version: str
    python_version: str
    parsl_v: str
    packages: _containers.ScalarMap[str, str]
    def __init__(self, run_id: _Optional[str] = ..., timestamp: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., hostname: _Optional[str] = ..., uid: _Optional[str] = ..., block_id: _Optional[str] = ..., cpu_count: _Optional[int] = ..., total_memory: _Optional[int] = ..., active: bool = ..., worker_count: _Optional[int] = ..., python_v: _Optional[str] = ..., last_heartbeat: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., idle_since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., drain_time: _Optional[float] = ..., draining: bool = ..., tasks: _Optional[_Iterable[int]] = ..., max_capacity: _Optional[int] = ..., prefetch_capacity: _Optional[int] = ..., type: _Optional[str] = ..., os: _Optional[str] = ..., dir: _Optional[str] = ..., parsl_version: _Optional[str] = ..., python_version: _Optional[str] = ..., parsl_v: _Optional[str] = ..., packages: _Optional[_Mapping[str, str]] = ...) -> None: ...

class BlockInfo(_message.Message):
    __slots__ = ("run_id", "executor_label", "block_id", "job_id", "timestamp", "status")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_LABEL_FIELD_NUMBER: _ClassVar[int]
    BLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    executor_label: str
    block_id: str
    job_id: str
    timestamp: _timestamp_pb2.Timestamp
    status: str
    def __init__(self, run_id: _Optional[str] = ..., executor_label: _Optional[str] = ..., block_id: _Optional[str] = ..., job_id: _Optional[str] = ..., timestamp: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., status: _Optional[str] = ...) -> None: ...

class NodeUsage(_message.Message):
    __slots__ = ("run_id", "hostname", "timestamp", "interval_seconds", "cpu_count", "cpu_percent", "cpu_user_seconds", "cpu_system_seconds", "cpu_idle_seconds", "cpu_iowait_seconds", "cpu_steal_seconds", "load1", "load5", "load15", "memory_total_bytes", "memory_available_bytes", "swap_total_bytes", "swap_free_bytes", "disk_read_bytes", "disk_written_bytes", "tmp_total_bytes", "tmp_free_bytes", "network_received_bytes", "network_sent_bytes")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CPU_COUNT_FIELD_NUMBER: _ClassVar[int]
    CPU_PERCENT_FIELD_NUMBER: _ClassVar[int]
    CPU_USER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CPU_SYSTEM_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CPU_IDLE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CPU_IOWAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CPU_STEAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LOAD1_FIELD_NUMBER: _ClassVar[int]
    LOAD5_FIELD_NUMBER: _ClassVar[int]
    LOAD15_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SWAP_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    SWAP_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_WRITTEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    TMP_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    TMP_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    NETWORK_RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    NETWORK_SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    hostname: str
    timestamp: _timestamp_pb2.Timestamp
    interval_seconds: float
    cpu_count: int
    cpu_percent: float
    cpu_user_seconds: float
    cpu_system_seconds: float
    cpu_idle_seconds: float
    cpu_iowait_seconds: float
    cpu_steal_seconds: float
    load1: float
    load5: float
    load15: float
    memory_total_bytes: float
    memory_available_bytes: float
    swap_total_bytes: float
    swap_free_bytes: float
    disk_read_bytes: float
    disk_written_bytes: float
    tmp_total_bytes: float
    tmp_free_bytes: float
    network_received_bytes: float
    network_sent_bytes: float
    def __init__(self, run_id: _Optional[str] = ..., hostname: _Optional[str] = ..., timestamp: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., interval_seconds: _Optional[float] = ..., cpu_count: _Optional[int] = ..., cpu_percent: _Optional[float] = ..., cpu_user_seconds: _Optional[float] = ..., cpu_system_seconds: _Optional[float] = ..., cpu_idle_seconds: _Optional[float] = ..., cpu_iowait_seconds: _Optional[float] = ..., cpu_steal_seconds: _Optional[float] = ..., load1: _Optional[float] = ..., load5: _Optional[float] = ..., load15: _Optional[float] = ..., memory_total_bytes: _Optional[float] = ..., memory_available_bytes: _Optional[float] = ..., swap_total_bytes: _Optional[float] = ..., swap_free_bytes: _Optional[float] = ..., disk_read_bytes: _Optional[float] = ..., disk_written_bytes: _Optional[float] = ..., tmp_total_bytes: _Optional[float] = ..., tmp_free_bytes: _Optional[float] = ..., network_received_bytes: _Optional[float] = ..., network_sent_bytes: _Optional[float] = ...) -> None: ...

class UnreadableMessage(_message.Message):
    __slots__ = ("run_id", "reason", "text")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    reason: str
    text: str
    def __init__(self, run_id: _Optional[str] = ..., reason: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...
