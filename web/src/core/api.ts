// Calls of the API. The session is a cookie that scripts cannot read; what changes something carries the CSRF token
// that came with it. A refusal becomes an ApiError with what the server said of each parameter.
import { signal } from '@preact/signals';

export type Value = string | number | boolean;
export type Values = Readonly<Record<string, Value | undefined>>;
export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;
  readonly fields: Readonly<Record<string, string>>;
  /** Seconds until it makes sense to ask again; 0: the server did not say. */
  readonly retryAfter: number;

  constructor(status: number, message: string, rest: { code?: string; hint?: string; fields?: Record<string, string>; retryAfter?: number } = {}) {
    super(message);
    this.status = status;
    this.code = rest.code ?? '';
    this.hint = rest.hint ?? '';
    this.fields = rest.fields ?? {};
    this.retryAfter = rest.retryAfter ?? 0;
  }
}

let csrf = '';
/** Counts refusals of the session itself; the shell asks for the password again when it changes. */
export const sessionLost = signal(0);

export function setCsrf(token: string): void {
  csrf = token;
}

/** For what sends bytes and not parameters. */
export const csrfToken = (): string => csrf;

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.trim() : '';
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Builds the error from the reply's parts: the body where there is one, else the reason of the status line. */
export function errorFrom(status: number, reason: string, body: unknown, retryAfter = 0): ApiError {
  const record = isRecord(body) ? body : {};
  const fields: Record<string, string> = {};
  if (isRecord(record['errors']))
    for (const [name, text] of Object.entries(record['errors']))
      fields[name] = textOf(text);
  const message = textOf(record['message']) || reason || String(status);
  return new ApiError(status, message, { code: textOf(record['code']), hint: textOf(record['hint']), fields, retryAfter });
}

/** Already encoded: for parameters that come more than once. */
type Given = Values | URLSearchParams;

function encode(values: Given): URLSearchParams {
  if (values instanceof URLSearchParams)
    return values;
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined)
      out.set(name, typeof value === 'boolean' ? (value ? '1' : '0') : String(value));
  }
  return out;
}

async function parseBody(reply: Response): Promise<unknown> {
  try {
    return await reply.json();
  } catch {
    return null;
  }
}

interface Reply { data?: unknown; total?: unknown }

/** Browsers resolve these before they send: a thing that is called ".." would be another one's address. */
const DOTS = /(^|\/)\.{1,2}(\/|$)/;

async function request(method: Method, path: string, values: Given): Promise<Reply> {
  if (DOTS.test(path))
    throw new ApiError(400, `no address: ${path}`);
  const text = encode(values).toString();
  const hasBody = method === 'POST' || method === 'PUT';
  const url = `/api2/json${path}${!hasBody && text ? `?${text}` : ''}`;
  const session = csrf;
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (method !== 'GET')
    headers['CSRFPreventionToken'] = csrf;
  if (hasBody)
    headers['Content-Type'] = 'application/x-www-form-urlencoded';
  let reply: Response;
  try {
    reply = await fetch(url, { method, headers, credentials: 'same-origin', ...(hasBody ? { body: text } : {}) });
  } catch {
    throw new ApiError(0, 'unreachable');
  }
  const body = await parseBody(reply);
  if (!reply.ok) {
    // Of a request that is confirmed with a password, a 401 says that this was wrong: the session is still good.
    const isConfirmed = path === '/access/ticket' || 'password' in values || 'confirmation-password' in values;
    // And one that comes late, seconds after a new session began, is of the old one.
    if (reply.status === 401 && !isConfirmed && session === csrf)
      sessionLost.value++;
    throw errorFrom(reply.status, reply.statusText, body, Number(reply.headers.get('Retry-After')) || 0);
  }
  return isRecord(body) ? body : {};
}

/** T is what api/*.json promises for the route. */
export async function call<T>(method: Method, path: string, values: Given = {}): Promise<T> {
  return ((await request(method, path, values)).data ?? null) as T;
}

/** A part of a list, with how long all of it is. */
export async function getPart<T>(path: string, values: Values): Promise<{ rows: T[]; total: number }> {
  const reply = await request('GET', path, values);
  return { rows: (reply.data ?? []) as T[], total: Number(reply.total ?? 0) };
}

export const get = <T>(path: string, values?: Values): Promise<T> => call<T>('GET', path, values);
export const post = <T>(path: string, values?: Given): Promise<T> => call<T>('POST', path, values);
export const put = <T>(path: string, values?: Values): Promise<T> => call<T>('PUT', path, values);
export const del = <T>(path: string, values?: Values): Promise<T> => call<T>('DELETE', path, values);
