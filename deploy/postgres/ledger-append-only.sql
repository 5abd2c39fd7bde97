-- Takes from the bot's own role the right to change or remove an event: its log's tables become yours, and it may only
-- do what it needs. Run it as a superuser, in the same database as ledger.sql, once the service has begun there for the
-- first time. A later release that changes the tables needs them back for a moment; its changelog says so.
--
--     psql --dbname=scalebot --file=ledger-append-only.sql

DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = 'scalebot' LOOP
        EXECUTE format('ALTER TABLE scalebot.%I OWNER TO %I', one.tablename, current_user);
        EXECUTE format('REVOKE ALL ON scalebot.%I FROM scalebot_ledger', one.tablename);
    END LOOP;
END
$$;

REVOKE CREATE ON SCHEMA scalebot FROM scalebot_ledger;
GRANT SELECT ON scalebot.layout TO scalebot_ledger;
GRANT SELECT, INSERT ON scalebot.event TO scalebot_ledger;
GRANT SELECT, INSERT, DELETE ON scalebot.claim TO scalebot_ledger;
GRANT SELECT, UPDATE ON scalebot.epoch TO scalebot_ledger;
GRANT SELECT, INSERT, UPDATE ON scalebot.post, scalebot.sample, scalebot.lease TO scalebot_ledger;
GRANT SELECT, INSERT, DELETE ON scalebot.moved TO scalebot_ledger;
