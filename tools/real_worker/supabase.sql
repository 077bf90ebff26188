-- What Supabase and VALET have in a database before the worker's own migrations run: roles, auth, a publication,
-- and the tables of VALET that the worker reads.
DO $$ BEGIN
    CREATE ROLE anon;
    CREATE ROLE authenticated;
    CREATE ROLE service_role BYPASSRLS;
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;
CREATE SCHEMA auth;
CREATE TABLE auth.users (id uuid PRIMARY KEY);
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid';
CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql AS $$ SELECT 'service_role' $$;
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
CREATE PUBLICATION supabase_realtime;
CREATE TABLE profiles (id uuid PRIMARY KEY, subscription_tier text);
CREATE TABLE resumes (
    id uuid PRIMARY KEY,
    user_id uuid,
    file_key text,
    status text,
    is_default boolean,
    parsed_data jsonb,
    parsing_confidence numeric,
    raw_text text,
    created_at timestamptz
);
