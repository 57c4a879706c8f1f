-- How often each type of signal was emitted, each signal counted once.

CREATE TABLE signals (
  id STRING,
  `type` STRING,
  customer_id STRING,
  occurred_at TIMESTAMP_LTZ(3),
  state ROW<`before` STRING, `after` STRING>
) WITH (
  'connector' = 'kafka',
  'topic' = 'retention.signals',
  'properties.bootstrap.servers' = 'localhost:9092',
  'properties.group.id' = 'signals-flink',
  -- Without this line records of aborted transactions are counted too.
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  -- Ends at what is there now. Without it the query goes on.
  'scan.bounded.mode' = 'latest-offset',
  'format' = 'json',
  'json.timestamp-format.standard' = 'ISO-8601'
);

SELECT `type`, COUNT(DISTINCT id) AS emitted FROM signals GROUP BY `type`;
