-- An alert may rest on a result that its device has no number for: HI or LO (docs/decisions/0016).

ALTER TABLE alert_evidence
    ALTER COLUMN value DROP NOT NULL,
    ADD COLUMN beyond text CHECK (beyond IN ('high', 'low')),  -- the side of the device's range; null: a number
    ADD CHECK ((value IS NULL) <> (beyond IS NULL));
