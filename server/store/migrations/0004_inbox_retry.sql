-- Values that could not be judged wait for another try, and a person is told meanwhile (docs/decisions/0008).

ALTER TABLE engine_inbox
    ADD COLUMN tries    int NOT NULL DEFAULT 0,    -- how often they could not be judged
    ADD COLUMN retry_at timestamptz;                    -- null: not tried yet, so at once
