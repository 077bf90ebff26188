// Stands in for Supabase's REST API, as far as the worker's calls use it: rows of tables with filters, order and limit,
// functions, and uploads, which it drops. `bun rest_stub.ts PORT DATABASE_URL`
import { SQL } from 'bun';

type Row = Record<string, unknown>;
const [port, url] = process.argv.slice(2) as [string, string];
const sql = new SQL(url, { max: 20 });
const COMPARISONS: Record<string, string> = { eq: '=', neq: '<>', lt: '<', lte: '<=', gt: '>', gte: '>=' };
const UNIQUE_VIOLATION = '23505';
const NO_FILTERS = new Set(['select', 'order', 'limit', 'offset', 'on_conflict', 'columns']);

class Refused extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly status = 400,
  ) {
    super(message);
  }
}

/** A statement under construction, with its parameters. */
class Statement {
  readonly parameters: unknown[] = [];

  parameter(value: unknown): string {
    return `$${this.parameters.push(value)}`;
  }

  where(query: URLSearchParams): string {
    const filters = [...query].filter(([name]) => !NO_FILTERS.has(name));
    return filters.length ? ` WHERE ${filters.map(([name, value]) => this.filter(name, value)).join(' AND ')}` : '';
  }

  private filter(name: string, value: string): string {
    const [, not, operator, operand] = /^(not\.)?([a-z]+)\.(.*)$/s.exec(value) ?? [];
    const column = identifier(name);
    let text: string;
    if (operator === 'is' && ['null', 'true', 'false'].includes(operand!)) text = `${column} IS ${operand}`;
    else if (operator === 'in') {
      const values = operand!.slice(1, -1).split(',');
      text = `${column}::text IN (${values.map((one) => this.parameter(one.replace(/^"|"$/g, ''))).join(', ')})`;
    } else if (operator === 'eq' || operator === 'neq')
      text = `${column}::text ${COMPARISONS[operator]} ${this.parameter(operand)}`;
    else if (operator && COMPARISONS[operator]) text = `${column} ${COMPARISONS[operator]} ${this.parameter(operand)}`;
    else throw new Refused('STUB', `the REST stub does not know the filter ${name}=${value}`);
    return not ? `NOT (${text})` : text;
  }

  async run(text: string): Promise<Row[]> {
    const whole = `WITH result AS (${text}) SELECT to_jsonb(result) AS row FROM result`;
    const rows = await sql.unsafe(whole, this.parameters);
    return rows.map((one: { row: Row }) => one.row);
  }
}

function identifier(name: string): string {
  if (!/^\w+$/.test(name)) throw new Refused('STUB', `the REST stub does not know the column ${name}`);
  return `"${name}"`;
}

const columnsOf = new Map<string, Set<string>>();

/** The names of the values' columns; refuses one that the table does not have, as PostgREST does. */
async function columns(table: string, values: Row[]): Promise<string[]> {
  if (!columnsOf.has(table)) {
    const rows = await sql`SELECT attname AS name FROM pg_attribute
      WHERE attrelid = ${`public.${table}`}::regclass AND attnum > 0 AND NOT attisdropped`;
    columnsOf.set(table, new Set(rows.map((row: { name: string }) => row.name)));
  }
  const names = [...new Set(values.flatMap(Object.keys))];
  const unknown = names.find((name) => !columnsOf.get(table)!.has(name));
  if (unknown)
    throw new Refused('PGRST204', `Could not find the '${unknown}' column of '${table}' in the schema cache`);
  return names;
}

async function answerTable(request: Request, table: string, query: URLSearchParams): Promise<Response> {
  const prefer = request.headers.get('prefer') ?? '';
  const statement = new Statement();
  const target = `public.${identifier(table)}`;
  const value = (row: Row, name: string) =>
    `(jsonb_populate_record(NULL::${target}, ${statement.parameter(row)}::jsonb)).${identifier(name)}`;
  let text: string;
  if (request.method === 'GET') {
    text = `SELECT * FROM ${target}${statement.where(query)}`;
    const terms = query.get('order')?.split(',').map((term) => term.split('.'));
    const order = terms?.map(([name, way]) => identifier(name!) + (way === 'desc' ? ' DESC' : ''));
    if (order) text += ` ORDER BY ${order.join(', ')}`;
    if (query.has('limit')) text += ` LIMIT ${Number(query.get('limit'))}`;
  } else if (request.method === 'PATCH') {
    const row = (await request.json()) as Row;
    const names = await columns(table, [row]);
    text = `UPDATE ${target} SET ${names.map((name) => `${identifier(name)} = ${value(row, name)}`).join(', ')}`;
    text += `${statement.where(query)} RETURNING *`;
  } else if (request.method === 'POST') {
    const rows = [(await request.json()) as Row | Row[]].flat();
    const names = await columns(table, rows);
    const tuple = (row: Row) => names.map((name) => (name in row ? value(row, name) : 'DEFAULT')).join(', ');
    const tuples = rows.map((row) => `(${tuple(row)})`);
    text = `INSERT INTO ${target} (${names.map(identifier).join(', ')}) VALUES ${tuples.join(', ')}`;
    if (prefer.includes('resolution=')) {
      const key = (query.get('on_conflict') ?? 'id').split(',').map(identifier).join(', ');
      const set = names.map((name) => `${identifier(name)} = excluded.${identifier(name)}`).join(', ');
      text += ` ON CONFLICT (${key}) DO ${prefer.includes('ignore-duplicates') ? 'NOTHING' : `UPDATE SET ${set}`}`;
    }
    text += ' RETURNING *';
  } else if (request.method === 'DELETE') text = `DELETE FROM ${target}${statement.where(query)} RETURNING *`;
  else throw new Refused('STUB', `the REST stub does not know ${request.method}`, 405);
  const rows = await statement.run(text);
  if (request.headers.get('accept')?.includes('vnd.pgrst.object')) {
    if (rows.length !== 1) throw new Refused('PGRST116', 'JSON object requested, multiple (or no) rows returned', 406);
    return Response.json(rows[0]);
  }
  if (request.method !== 'GET' && !prefer.includes('return=representation'))
    return new Response(null, { status: request.method === 'POST' ? 201 : 204 });
  return Response.json(rows);
}

async function answerFunction(request: Request, name: string): Promise<Response> {
  const given = Object.entries((await request.json()) as Row);
  const statement = new Statement();
  const list = given.map(([key, value]) => `${identifier(key)} => ${statement.parameter(value)}`).join(', ');
  const rows = await statement.run(`SELECT public.${identifier(name)}(${list}) AS value`);
  return Response.json(rows[0]?.value ?? null);
}

async function answer(request: Request): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const [, service, , name, called] = pathname.split('/');
  if (service === 'storage') return Response.json({ Key: 'stub', Id: 'stub', signedURL: '/stub' });
  if (service !== 'rest' || !name) throw new Refused('STUB', `the REST stub does not know ${pathname}`, 404);
  return name === 'rpc' ? answerFunction(request, called!) : answerTable(request, name, searchParams);
}

Bun.serve({
  port: Number(port),
  hostname: '127.0.0.1',
  idleTimeout: 60,
  fetch: answer,
  error(error: Bun.ErrorLike & { status?: number }) {
    const code = error.code === 'ERR_POSTGRES_SERVER_ERROR' ? String(error.errno) : (error.code ?? 'STUB');
    if (code !== 'PGRST116' && code !== UNIQUE_VIOLATION) console.error(`${code} ${error.message}`);
    const body = { code, message: error.message, details: null, hint: null };
    return Response.json(body, { status: error.status ?? (code === UNIQUE_VIOLATION ? 409 : 400) });
  },
});
