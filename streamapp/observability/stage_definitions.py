"""Every metric of a stage, in one table."""

from streamapp.observability.metric_definition import (
    MetricDefinition,
    counter,
    gauge,
    histogram,
    partition_gauge,
)

_MEMBER = ("pool", "agent")

STAGE_METRICS: tuple[MetricDefinition, ...] = (
    counter(
        "streamapp_received_records_total",
        "records",
        "Records taken, redelivered ones included, by topic; a fused stage has none.",
        "topic",
    ),
    counter(
        "streamapp_received_bytes_total",
        "bytes",
        "Bytes of the values of the records taken, by topic; a fused stage has none.",
        "topic",
    ),
    counter(
        "streamapp_finished_records_total", "records", "Records finished, by outcome.", "outcome"
    ),
    counter(
        "streamapp_acknowledged_records_total",
        "records",
        "Records finished, of whose outputs and dead letters Kafka has all; none if the stage is"
        " fused.",
    ),
    counter(
        "streamapp_produced_records_total",
        "records",
        "Output records that the broker acknowledged, by topic.",
        "topic",
    ),
    histogram(
        "streamapp_attempt_duration_seconds", "seconds", "Duration of one attempt of the agent."
    ),
    histogram(
        "streamapp_record_age_seconds",
        "seconds",
        "End-to-end age of a record: time of its processing less its timestamp.",
    ),
    histogram(
        "streamapp_batch_records", "records", "Records of one call of an agent that takes batches."
    ),
    counter(
        "streamapp_failed_batches_total",
        "batches",
        "Calls with several records that failed as a whole; each record was then tried alone.",
    ),
    partition_gauge(
        "streamapp_lag_records",
        "records",
        "Records between the commit frontier and the end of the partition; absent until known.",
    ),
    partition_gauge(
        "streamapp_lag_seconds",
        "seconds",
        "Age of the first unfinished record; 0 without lag, absent until known.",
    ),
    partition_gauge(
        "streamapp_retention_left_seconds",
        "seconds",
        "Seconds until the first unfinished record is deleted by its topic; absent without lag, or"
        " if it is never.",
    ),
    gauge(
        "streamapp_topic_partitions",
        "partitions",
        "Partitions of a topic that the stage reads, as this worker saw it last; 0 if it is gone.",
        "topic",
    ),
    gauge("streamapp_in_flight_records", "records", "Records taken and not finished."),
    gauge(
        "streamapp_in_flight_limit_records",
        "records",
        "Most records that may be taken and not finished; a fused stage has none.",
    ),
    gauge(
        "streamapp_in_flight_bytes",
        "bytes",
        "Bytes of the records taken and not finished, and of outputs not acknowledged.",
    ),
    gauge("streamapp_busy_lanes", "lanes", "Attempts that run now."),
    gauge(
        "streamapp_lanes",
        "lanes",
        "Most attempts that may run at a time; a fused stage has none of its own.",
    ),
    counter(
        "streamapp_lane_seconds_total",
        "seconds",
        "Time of all lanes together, by what they did; a fused stage has none of its own.",
        "activity",
    ),
    gauge(
        "streamapp_stuck_attempts",
        "attempts",
        "Attempts that still run although they were cancelled a while ago.",
    ),
    counter("streamapp_retries_total", "retries", "Attempts after the first of a record."),
    counter(
        "streamapp_later_retries_total",
        "retries",
        "Records that the broker acknowledged in a retry topic, where they wait, by topic.",
        "topic",
    ),
    partition_gauge(
        "streamapp_waiting_records",
        "records",
        "Records in a partition of a retry topic that are not finished; absent until known.",
    ),
    partition_gauge(
        "streamapp_retry_wait_seconds",
        "seconds",
        "Seconds until the next record of a partition of a retry topic is due; 0 if it is, or there"
        " is none.",
    ),
    counter("streamapp_timeouts_total", "timeouts", "Attempts that exceeded their deadline."),
    counter(
        "streamapp_unreadable_contexts_total",
        "contexts",
        "Contexts that could not be read from the header of a record; the record was worked on.",
    ),
    counter(
        "streamapp_dead_letters_total",
        "dead_letters",
        "Dead letters that the broker acknowledged, by reason.",
        "reason",
    ),
    gauge(
        "streamapp_dead_letter_depth_records",
        "records",
        "Dead letters in the topic that were neither replayed nor discarded; told by one worker of"
        " the stage, absent until known.",
        "topic",
    ),
    gauge(
        "streamapp_dead_letter_oldest_age_seconds",
        "seconds",
        "Age of the one of them that retention will delete first, by its timestamp; 0 without any.",
        "topic",
    ),
    gauge(
        "streamapp_dead_letter_expiry_seconds",
        "seconds",
        "Seconds until retention may delete it; absent without any, or if it never does.",
        "topic",
    ),
    counter("streamapp_commits_total", "commits", "Commits of offsets that succeeded."),
    counter("streamapp_commit_failures_total", "failures", "Commits of offsets that failed."),
    gauge(
        "streamapp_last_commit_age_seconds",
        "seconds",
        "Seconds since the last commit that succeeded; absent before the first.",
    ),
    gauge(
        "streamapp_last_progress_age_seconds",
        "seconds",
        "Seconds since a record finished or lag appeared; absent before the first.",
    ),
    gauge(
        "streamapp_cut_off_seconds",
        "seconds",
        "Seconds since the stage began to join its group or left it, or Kafka stopped answering;"
        " else 0.",
    ),
    gauge(
        "streamapp_lag_unknown_seconds",
        "seconds",
        "Seconds since the lag of a partition is not known; else 0.",
    ),
    gauge(
        "streamapp_topic_fault_seconds",
        "seconds",
        "Seconds since a topic of the stage is gone, or has partitions that it does not use; else"
        " absent.",
        "topic",
    ),
    partition_gauge(
        "streamapp_partition_progress_age_seconds",
        "seconds",
        "Seconds since a record of the partition finished or lag appeared; 0 without lag, absent"
        " until known.",
    ),
    counter(
        "streamapp_given_up_assignments_total",
        "assignments",
        "Times an assignment was given up because commits kept failing.",
    ),
    counter(
        "streamapp_position_resets_total",
        "resets",
        "Times the position was not in the log and the stage continued elsewhere.",
    ),
    counter(
        "streamapp_passed_over_offsets_total",
        "offsets",
        "Offsets skipped by these resets: deleted by retention, or left out by `latest`.",
    ),
    counter("streamapp_rebalances_total", "rebalances", "Assignments received from the group."),
    counter(
        "streamapp_producer_replacements_total",
        "replacements",
        "Times the producer was replaced after a failed batch.",
    ),
    gauge(
        "streamapp_held_seconds",
        "seconds",
        "Seconds since records of the stage are held, because what it depends on is down or it has"
        " too many dead letters; else 0.",
    ),
    counter("streamapp_holds_total", "holds", "Times that records began to be held."),
    counter(
        "streamapp_probes_total",
        "probes",
        "Attempts made while records are held, to see whether they succeed again.",
    ),
    gauge(
        "streamapp_breaker_state",
        "",
        "One series for each state of the breaker: 1 for the one it is in, else 0.",
        "breaker",
    ),
    counter(
        "streamapp_agent_replacements_total",
        "replacements",
        "How often another agent took the place of one in an assembled pipeline, by cause.",
        "trigger",
    ),
    counter(
        "streamapp_part_calls_total",
        "calls",
        "Calls of a part of the agent: a branch, a choice, a member of a pool.",
        "agent",
    ),
    counter(
        "streamapp_part_failures_total",
        "failures",
        "Calls of the part that raised, also where another part or a default took over.",
        "agent",
    ),
    counter(
        "streamapp_part_duration_seconds_total",
        "seconds",
        "How long all calls of the part took together.",
        "agent",
    ),
    counter(
        "streamapp_model_calls_total",
        "calls",
        "Calls of an agent that were passed to its language model.",
        "agent",
    ),
    counter(
        "streamapp_model_failures_total",
        "failures",
        "Such calls that failed, by who was at fault.",
        "agent",
        "fault",
    ),
    counter(
        "streamapp_model_requests_total",
        "requests",
        "Requests that the provider of the model has answered; corrections of outputs are among"
        " them.",
        "agent",
    ),
    counter(
        "streamapp_model_tokens_total",
        "tokens",
        "Tokens as the provider counts them.",
        "agent",
        "direction",
    ),
    counter("streamapp_member_calls_total", "calls", "Calls of the member.", *_MEMBER),
    counter(
        "streamapp_member_failures_total",
        "failures",
        "Calls of the member that failed, whoever was at fault.",
        *_MEMBER,
    ),
    gauge("streamapp_member_active_calls", "calls", "Calls of the member that run.", *_MEMBER),
    gauge(
        "streamapp_member_capacity_calls",
        "calls",
        "Most calls of the member that may run at a time.",
        *_MEMBER,
    ),
    gauge(
        "streamapp_member_score_seconds",
        "seconds",
        "How long a call would keep the member from others; the lowest is called next.",
        *_MEMBER,
    ),
    gauge(
        "streamapp_member_breaker_state",
        "",
        "One series for each state of the member's breaker: 1 for the one it is in, else 0.",
        *_MEMBER,
        "breaker",
    ),
    partition_gauge(
        "streamapp_partition_blocked",
        "",
        "1 while the partition takes no more records, else 0.",
    ),
    gauge(
        "streamapp_stage_state",
        "",
        "One series for each state: 1 for the state the stage is in, else 0.",
        "state",
    ),
    gauge(
        "streamapp_stage_position",
        "position",
        "Place of the stage in its pipeline, from 1.",
    ),
    gauge(
        "streamapp_stage_level",
        "",
        "One series for each level: 1 for how the stage does, as its worker sees it, else 0.",
        "level",
    ),
    gauge(
        "streamapp_stage_cause",
        "",
        "1 for everything that is wrong with the stage; there is no series for what is not.",
        "cause",
    ),
)
"""Metrics of every stage."""
