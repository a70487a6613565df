-- What is read over days and weeks (docs/decisions/0019): which values count, a day's sums, and series of one value a
-- second or a beat. Also what has been done of the upkeep, and when each part of it is due.

-- A value counts unless it was taken back or was no reading at all: 'retracted' and NO_READING of alerts/standing.py.
-- A test holds the two together; another set needs another migration, which makes the index anew.
CREATE FUNCTION is_counted(flags text[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT NOT flags && '{retracted,control_solution,demonstration,early_estimate,invalid_measurement,
        measurement_unavailable,no_skin_contact,sensor_disconnected,sensor_unconnected_to_user,setting,testing}'::text[]
$$;

-- The few that do not count: whoever reads the many asks here, and never for the flags of each.
-- By time for everyone's days, by person for one person's weeks.
CREATE INDEX measurement_uncounted ON measurement (measured_at, uid) WHERE NOT is_counted(flags);
CREATE INDEX measurement_uncounted_patient ON measurement (patient_id, measured_at) INCLUDE (uid)
    WHERE NOT is_counted(flags);

-- A day is one of Europe/Stockholm (contract.md 5), 23 to 25 hours long. The zone's name is here and in
-- server/store/days.py only.
CREATE FUNCTION day_of(timestamptz) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ($1 AT TIME ZONE 'Europe/Stockholm')::date
$$;
CREATE FUNCTION day_start(date) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT $1::timestamp AT TIME ZONE 'Europe/Stockholm'
$$;

-- Days of one person, and of all for whoever has the time; server/store/daily.py reads everyone's faster. On Timescale
-- Community server/store/community.py puts the same columns on a continuous aggregate.
CREATE VIEW obs_daily AS
SELECT o.patient_id, o.component_id, day_of(o.measured_at) AS day,
       count(*)::int AS n, sum(o.value) AS sum, sum(o.value * o.value) AS sum_squares,
       min(o.value) AS min, max(o.value) AS max,
       (array_agg(o.value ORDER BY o.measured_at, o.value))[1] AS first,
       (array_agg(o.value ORDER BY o.measured_at DESC, o.value DESC))[1] AS last
FROM observation o
WHERE o.patient_id IS NOT NULL AND o.value IS NOT NULL
  AND NOT EXISTS (SELECT FROM measurement m
                  WHERE m.patient_id = o.patient_id AND m.measured_at = o.measured_at AND m.uid = o.uid
                    AND NOT is_counted(m.flags))
GROUP BY o.patient_id, o.component_id, day_of(o.measured_at);

-- A series of one value a second or a beat, cut into runs of at most 900 samples: a night of one value a second is 32 rows,
-- not 28,800, and a row still fits where it is, without a table beside it for what is too long.
CREATE TABLE recording (
    device_id    int NOT NULL,
    component_id smallint NOT NULL,
    measured_at  timestamptz NOT NULL,              -- of the first sample; of a beat: of the one that the first interval follows
    ended_at     timestamptz NOT NULL,              -- of the last
    started_at   timestamptz NOT NULL,              -- of the whole recording that this run is of …
    first_index  int NOT NULL CHECK (first_index >= 0),  -- … and the first sample's number in it, from 0
    period_ms    int CHECK (period_ms > 0),         -- null: beat to beat, each sample is an interval in ms
    decimals     smallint NOT NULL CHECK (decimals BETWEEN 0 AND 3),
    samples      smallint[] NOT NULL CHECK (cardinality(samples) BETWEEN 1 AND 900),  -- value × 10^decimals; -32768: none
    patient_id   int,                               -- null: unassigned
    stored_at    timestamptz NOT NULL,
    PRIMARY KEY (device_id, component_id, measured_at),
    CHECK (measured_at <= ended_at)
);
CREATE INDEX recording_patient ON recording (patient_id, component_id, measured_at);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        PERFORM create_hypertable('recording', by_range('measured_at', INTERVAL '7 days'), create_default_indexes => false);
    END IF;
END $$;

-- The upkeep's jobs: when each is due, and how it went. One process does them (server/store/upkeep.py).
CREATE TABLE upkeep_job (
    name      text PRIMARY KEY,
    due_at    timestamptz NOT NULL,
    began_at  timestamptz,                          -- of the last run; server's clock
    ended_at  timestamptz,                          -- before began_at: it is running, or was cut off
    result    text NOT NULL DEFAULT '',             -- of the last run that went well: what it did
    failure   text,                                 -- of the last run; null: it went well
    failures  int NOT NULL DEFAULT 0,               -- one after the other until now
    done_at   timestamptz                           -- last time that it went well
);
