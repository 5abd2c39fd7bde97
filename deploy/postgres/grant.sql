-- What the bot needs of the backend's database: to read the halt table and the last sequence number, and to count
-- sessions. Nothing else. Run it as a superuser in the backend's database, then give the role a password:
--
--     psql --dbname=conclave --file=grant.sql
--     psql --dbname=conclave --command='\password scalebot'
--
-- Running it again changes nothing.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'scalebot') THEN
        CREATE ROLE scalebot LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    END IF;
END
$$;

-- Two connections, and room for the two of a bot that takes over from it.
ALTER ROLE scalebot CONNECTION LIMIT 4;

-- Whoever uses this role, with whatever client, only reads, and holds nothing up.
ALTER ROLE scalebot SET default_transaction_read_only = on;
ALTER ROLE scalebot SET statement_timeout = '5s';
ALTER ROLE scalebot SET idle_in_transaction_session_timeout = '5s';

GRANT USAGE ON SCHEMA public TO scalebot;
GRANT SELECT (is_halted, reason, halted_at, cleared_at) ON public.halt_state TO scalebot;
GRANT SELECT (sequence) ON public.events TO scalebot;

-- To see all sessions: without it those of others cannot be told from the fleet's.
GRANT pg_read_all_stats TO scalebot;
