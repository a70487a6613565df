-- The server's memory (contract.md 5, design.md). One dialect: PostgreSQL 15 or later; what TimescaleDB adds stands
-- in 0002 behind a capability check. Narrow rows, small integer keys, names elsewhere.

-- Who: care providers, their units, patients, staff ------------------------------------------------------------------

CREATE TABLE care_provider (
    id          int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE
);

CREATE TABLE unit (
    id          int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider_id int NOT NULL REFERENCES care_provider,
    name        text NOT NULL,
    -- Who answers outside the unit's hours, and when the unit watches: shown to patient and nurse, never guessed.
    watch_text  text NOT NULL DEFAULT '',
    UNIQUE (provider_id, name)
);

-- An identity number is a (system, value) pair (need.md, law): never a key, never one regular expression.
CREATE TABLE patient (
    id                int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id         uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),   -- in links; says nothing about the person
    identifier_system text NOT NULL,
    identifier_value  text NOT NULL,
    given_name        text NOT NULL,
    family_name       text NOT NULL,
    birth_year        smallint,
    unit_id           int NOT NULL REFERENCES unit,
    protected         boolean NOT NULL DEFAULT false,
    matters_text      text NOT NULL DEFAULT '',     -- "Vad är viktigt för dig?", the patient's own words
    matters_date      date,
    created_at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (identifier_system, identifier_value)
);
CREATE INDEX patient_unit ON patient (unit_id);

CREATE TABLE staff (
    id            int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login         text NOT NULL UNIQUE,
    display_name  text NOT NULL,
    password_hash text NOT NULL,                    -- argon2id, PHC string
    active        boolean NOT NULL DEFAULT true,
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- One person may hold several assignments (medarbetaruppdrag) and chooses one at login; the log carries it.
CREATE TABLE assignment (
    id       int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    staff_id int NOT NULL REFERENCES staff,
    unit_id  int NOT NULL REFERENCES unit,
    role     text NOT NULL CHECK (role IN ('nurse', 'physician', 'home_care', 'administrator')),
    UNIQUE (staff_id, unit_id, role)
);

CREATE TABLE session (
    token_hash    bytea PRIMARY KEY,                -- SHA-256 of the cookie; the cookie itself is never stored
    staff_id      int NOT NULL REFERENCES staff,
    assignment_id int REFERENCES assignment,        -- null: not chosen yet, opens nothing but the choice
    csrf          text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    used_at       timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz
);

CREATE TABLE login_attempt (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login      text NOT NULL,
    address    text NOT NULL,
    succeeded  boolean NOT NULL,
    at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX login_attempt_recent ON login_attempt (at, login, address);

-- Every read of a patient, every list and every refused try (PDL, HSLF-FS 2016:40 ch. 4). Append-only.
CREATE TABLE access_log (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT now(),
    staff_id      int REFERENCES staff,             -- null: nobody was logged in
    login         text NOT NULL DEFAULT '',
    assignment_id int REFERENCES assignment,
    unit_id       int REFERENCES unit,
    role          text NOT NULL DEFAULT '',
    address       text NOT NULL DEFAULT '',
    action        text NOT NULL,                    -- read, list, write, login, logout, refused …
    target        text NOT NULL,                    -- page or route, without personal data
    patient_id    int REFERENCES patient,
    outcome       text NOT NULL CHECK (outcome IN ('granted', 'refused')),
    reason        text NOT NULL DEFAULT ''
);
CREATE INDEX access_log_patient ON access_log (patient_id, at);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER access_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON access_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- From where: gateways, devices, and whose they are -----------------------------------------------------------------

CREATE TABLE gateway (
    id            int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9-]{1,40}$'),
    unit_id       int NOT NULL REFERENCES unit,
    placement     text NOT NULL DEFAULT '',         -- opaque; no name and no address
    registered_at timestamptz NOT NULL DEFAULT now(),
    state         text NOT NULL DEFAULT 'never_seen' CHECK (state IN ('never_seen', 'online', 'offline')),
    state_reason  text,
    state_since   timestamptz,                      -- server's clock
    last_status   jsonb,
    last_heard_at timestamptz,                      -- server's clock, any message
    tombstones    bigint NOT NULL DEFAULT 0         -- rows its outbox had to give up; each is a known hole in seq
);

CREATE TABLE device (
    id            int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL UNIQUE,             -- ble-<identity address>, screen:<gateway>, proxy
    model         text NOT NULL DEFAULT '',
    battery       smallint,
    battery_at    timestamptz,
    registered_at timestamptz NOT NULL DEFAULT now()
);

-- A device (or one user index of it) is one patient's from–to. Overlaps are refused by the trigger below.
CREATE TABLE binding (
    id         int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id  int NOT NULL REFERENCES device,
    user_index smallint,                            -- null: any user of the device
    patient_id int NOT NULL REFERENCES patient,
    gateway_id int REFERENCES gateway,              -- where it stands; null: anywhere
    valid      tstzrange NOT NULL CHECK (NOT isempty(valid))
);
CREATE INDEX binding_device ON binding (device_id);
CREATE INDEX binding_patient ON binding (patient_id);

CREATE FUNCTION refuse_overlapping_binding() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM device WHERE id = NEW.device_id FOR UPDATE;
    IF EXISTS (SELECT 1 FROM binding b
               WHERE b.device_id = NEW.device_id AND b.id <> NEW.id AND b.valid && NEW.valid
                 AND (b.user_index IS NULL OR NEW.user_index IS NULL OR b.user_index = NEW.user_index)) THEN
        RAISE EXCEPTION 'device % is already bound in that period', NEW.device_id USING ERRCODE = 'exclusion_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER binding_no_overlap BEFORE INSERT OR UPDATE ON binding
    FOR EACH ROW EXECUTE FUNCTION refuse_overlapping_binding();

-- What: measurements (one row an item) and observations (one row a component) ---------------------------------------

CREATE TABLE kind (
    id   smallint PRIMARY KEY,                      -- number of devices.kinds, never reused
    name text NOT NULL UNIQUE
);
CREATE TABLE component (
    id      smallint PRIMARY KEY,                   -- number of devices.kinds, never reused
    kind_id smallint NOT NULL REFERENCES kind,
    code    text NOT NULL,                          -- MDC digits, loinc:…, hemma:…
    unit    text NOT NULL,                          -- UCUM
    UNIQUE (kind_id, code)
);

CREATE SEQUENCE received_seq AS bigint;             -- the server's order

-- Identity of an item, in a plain table: a hypertable's unique index must hold the time, which may be corrected.
-- Later pruned by age together with the gateways' resend limit.
CREATE TABLE item_uid (
    uid       uuid PRIMARY KEY,
    stored_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE measurement (
    uid          uuid NOT NULL,
    measured_at  timestamptz NOT NULL,              -- t, best estimate
    measured_how text NOT NULL,                     -- tq: device, corrected, gateway, estimated
    measured_at_sent timestamptz,                   -- t as it came, where a clock item corrected it; else null
    type         text NOT NULL DEFAULT 'value' CHECK (type IN ('value', 'event')),
    event        text,                              -- what happened, for type event …
    about        uuid,                              -- … and to which value, if to one
    kind_id      smallint REFERENCES kind,
    patient_id   int,                               -- null: unassigned, with its reason
    unassigned   text,
    gateway_id   int,                               -- null: entered by a person
    device_id    int,                               -- null only for an event that no device had a part in
    boot         uuid,
    seq          bigint,
    device_time  timestamp,                         -- dev_t, the device's own claim, local
    gateway_time timestamptz,                       -- gw_t
    gateway_clock text,                             -- gw_q
    mono_ms      bigint,
    stored_at    timestamptz NOT NULL DEFAULT now(),
    received_seq bigint NOT NULL,
    flags        text[] NOT NULL DEFAULT '{}',
    context      jsonb NOT NULL DEFAULT '{}',
    characteristic text,
    raw          bytea,
    entered_by   int REFERENCES staff,              -- a manual value and who wrote it
    CHECK (patient_id IS NOT NULL OR unassigned IS NOT NULL),
    CHECK (device_id IS NOT NULL OR type = 'event')
);
CREATE INDEX measurement_patient ON measurement (patient_id, measured_at DESC);
CREATE INDEX measurement_uid ON measurement (uid);
CREATE INDEX measurement_boot ON measurement (boot) WHERE measured_how = 'estimated';
CREATE INDEX measurement_unassigned ON measurement (measured_at DESC) WHERE patient_id IS NULL;

CREATE TABLE observation (
    patient_id   int,
    measured_at  timestamptz NOT NULL,
    component_id smallint NOT NULL,
    value        float8,                            -- null: absent, with its reason
    absent       text,
    device_id    int NOT NULL,
    received_seq bigint NOT NULL,
    uid          uuid NOT NULL,
    CHECK ((value IS NULL) <> (absent IS NULL))
);
CREATE INDEX observation_patient ON observation (patient_id, component_id, measured_at DESC);
CREATE INDEX observation_uid ON observation (uid);

-- What a gateway learnt of its own clock after rows of that boot had left it: one fact corrects the whole boot, also
-- rows that come later than it.
CREATE TABLE boot_clock (
    gateway_id int NOT NULL REFERENCES gateway,
    boot       uuid NOT NULL,
    mono_ms    bigint NOT NULL,                     -- boot-time clock at the moment …
    utc        timestamptz NOT NULL,                -- … when it was this time
    quality    text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gateway_id, boot)
);

-- A gateway's wish to take a value back. The value stays and is flagged 'retracted', also when it comes after the wish.
CREATE TABLE retraction (
    of_uid     uuid NOT NULL,
    gateway_id int NOT NULL REFERENCES gateway,     -- only values of the same gateway are marked
    why        text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (of_uid, gateway_id)
);

CREATE TABLE latest (
    patient_id   int NOT NULL REFERENCES patient,
    component_id smallint NOT NULL REFERENCES component,
    measured_at  timestamptz NOT NULL,
    value        float8,
    absent       text,
    uid          uuid NOT NULL,
    PRIMARY KEY (patient_id, component_id)
);

-- What could not be decoded or identified, with its reason: visible, never lost (contract.md 1, verdicts).
CREATE TABLE quarantine (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    gateway    text NOT NULL,
    topic      text NOT NULL,
    boot       text,
    seq        bigint,
    reason     text NOT NULL,
    detail     text NOT NULL DEFAULT '',
    payload    bytea NOT NULL,
    digest     bytea NOT NULL,                      -- SHA-256 of gateway, reason and payload: a repeat counts, not doubles
    times      int NOT NULL DEFAULT 1,
    last_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (digest)
);

-- What the rules have not judged yet: written with the observations, emptied with the decisions, so each is judged
-- exactly once however many ingest workers commit in whatever order (docs/decisions/).
CREATE TABLE engine_inbox (
    received_seq bigint PRIMARY KEY,
    uid          uuid NOT NULL,
    patient_id   int,                               -- null: unassigned; the national red limits still apply
    gateway_id   int,
    measured_at  timestamptz NOT NULL,
    stored_at    timestamptz NOT NULL DEFAULT now()
);

-- Why: limits, alerts and what people did ---------------------------------------------------------------------------

-- Per-patient limits with their dates and who set them. Never overwritten: a change ends one row and starts another.
CREATE TABLE patient_limit (
    id           int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    patient_id   int NOT NULL REFERENCES patient,
    component_id smallint NOT NULL REFERENCES component,
    red_low      float8, yellow_low float8, yellow_high float8, red_high float8,
    set_by       text NOT NULL,
    reason       text NOT NULL DEFAULT '',
    valid        tstzrange NOT NULL
);
CREATE INDEX patient_limit_patient ON patient_limit (patient_id);

CREATE TABLE alert (
    id           uuid PRIMARY KEY,                  -- UUIDv5 of patient, rule lineage, version, first causing sample
    patient_id   int REFERENCES patient,            -- null: technical, or a red value of an unbound device
    gateway_id   int REFERENCES gateway,
    unit_id      int NOT NULL REFERENCES unit,
    rule         text NOT NULL,                     -- lineage
    rule_version text NOT NULL,                     -- content hash
    severity     text NOT NULL CHECK (severity IN ('red', 'yellow', 'blue')),
    handling     text NOT NULL DEFAULT 'open' CHECK (handling IN ('open', 'acknowledged', 'in_progress', 'closed')),
    condition    text NOT NULL DEFAULT 'firing' CHECK (condition IN ('firing', 'recovered')),
    opened_at    timestamptz NOT NULL,              -- server's clock when decided
    measured_at  timestamptz NOT NULL,              -- of the newest evidence
    owner_id     int REFERENCES staff,
    closed_at    timestamptz,
    outcome      text,
    text_sv      text NOT NULL,                     -- of the latest rise; each one as it fired stands in alert_event
    text_en      text NOT NULL,
    why          text NOT NULL,                     -- the rule's source, as fired
    inputs       jsonb NOT NULL,                    -- everything the decision was made from, for re-derivation
    version      int NOT NULL DEFAULT 1             -- commands carry the one they saw
);
CREATE UNIQUE INDEX alert_one_open ON alert (patient_id, rule) WHERE handling <> 'closed' AND patient_id IS NOT NULL;
CREATE UNIQUE INDEX alert_one_open_gateway ON alert (gateway_id, rule) WHERE handling <> 'closed' AND patient_id IS NULL;
CREATE INDEX alert_unit ON alert (unit_id, handling);
CREATE INDEX alert_patient ON alert (patient_id, opened_at);

CREATE TABLE alert_evidence (
    alert_id     uuid NOT NULL REFERENCES alert,
    uid          uuid NOT NULL,
    component_id smallint NOT NULL REFERENCES component,
    measured_at  timestamptz NOT NULL,
    value        float8 NOT NULL,
    added_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (alert_id, uid, component_id)
);
CREATE INDEX alert_evidence_uid ON alert_evidence (uid);

-- An alert's state is the fold of these; append-only.
CREATE TABLE alert_event (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id uuid NOT NULL REFERENCES alert,
    at       timestamptz NOT NULL DEFAULT now(),
    event    text NOT NULL,                         -- fired, extended, recovered, taken, released, noted, closed …
    staff_id int REFERENCES staff,
    detail   jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX alert_event_alert ON alert_event (alert_id, id);
CREATE TRIGGER alert_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON alert_event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Sett: a person's act on a value (contract.md 1, lamps). Sent to the home, again when it comes online within 48 h.
CREATE TABLE receipt (
    uid        uuid PRIMARY KEY,
    gateway_id int NOT NULL REFERENCES gateway,
    seen_at    timestamptz NOT NULL DEFAULT now(),
    unit_id    int NOT NULL REFERENCES unit,
    staff_id   int NOT NULL REFERENCES staff,
    sent_at    timestamptz
);
CREATE INDEX receipt_unsent ON receipt (gateway_id) WHERE sent_at IS NULL;
