// Who is signed in. The ticket is in a cookie that scripts cannot read; user and CSRF token are kept in localStorage,
// so that a reload and a second tab go on. Without the cookie the token is worth nothing.
import { signal, effect, untracked } from '@preact/signals';
import { ApiError, csrfToken, del, get, isRecord, post, put, sessionLost, setCsrf } from './api.ts';
import { loadPermissions } from './perms.ts';
import { isOnline, startLive, stopLive } from './live.ts';

const KEY = 'holm.session';
const RENEW_AFTER_MS = 45 * 60_000; // a ticket lives for LIFE_S
const LOOK_MS = 60_000;
const AGAIN_MS = 2000;
export const LIFE_S = 7200;

interface Login {
  username: string;
  CSRFPreventionToken: string;
  ticket?: string;
  NeedTFA?: number;
}

export interface Realm { realm: string; type: string; comment?: string; default?: number }

export type Phase = 'starting' | 'out' | 'in';
export const phase = signal<Phase>('starting');
export const user = signal('');
/** Why the sign-in is shown to somebody who was in: the server does not take the session any more, or the password is new. */
export type OutReason = '' | 'expired' | 'password';
export const outReason = signal<OutReason>('');
/** When the session was made or last renewed, seconds since 1970; it ends LIFE_S later. */
export const renewedAt = signal(0);

export type Factor = 'totp' | 'recovery';
/** The server's question for a second factor. */
export interface Challenge { name: string; ticket: string; factors: readonly Factor[]; askedAt: number }

/** The challenge says in its third part, as escaped JSON, what may be answered: {"totp":true,"recovery":[0,1,2]}. */
export function factorsOf(ticket: string): Factor[] {
  try {
    const offered = JSON.parse(decodeURIComponent(ticket.split(':')[1]?.slice('!tfa!'.length) ?? '')) as Readonly<Record<string, unknown>>;
    return (['totp', 'recovery'] as const).filter((f) => (Array.isArray(offered[f]) ? offered[f].length > 0 : Boolean(offered[f])));
  } catch {
    return ['totp', 'recovery']; // of a newer server: it will say which it takes
  }
}

function keep(login: Login): void {
  setCsrf(login.CSRFPreventionToken);
  renewedAt.value = Math.floor(Date.now() / 1000);
  localStorage.setItem(KEY, JSON.stringify({ user: login.username, csrf: login.CSRFPreventionToken, at: Date.now() }));
}

let renewTimer: ReturnType<typeof setInterval> | undefined;

/** Takes the token of the session as another tab has made or renewed it. */
function adopt(session: Kept): void {
  setCsrf(session.csrf);
  renewedAt.value = Math.floor(session.at / 1000);
}

/** A new cookie for one that is still good. Another tab may have been faster, or have ended the session meanwhile. */
async function renew(): Promise<void> {
  const old = kept();
  if (!old || old.user !== user.peek())
    return;
  adopt(old);
  if (Date.now() - old.at <= RENEW_AFTER_MS)
    return;
  const login = await put<Login>('/access/ticket');
  if (kept()?.csrf === old.csrf)
    keep(login);
}

let renewing: Promise<void> | null = null; // one at a time
const renewQuietly = (): Promise<void> => (renewing ??= renew().catch(() => undefined).finally(() => { renewing = null; }));

/** Somebody else begins with an empty page: nothing that the former user saw, typed or left under way is still there. */
async function enter(name: string): Promise<void> {
  if (user.peek() && user.peek() !== name) {
    location.reload();
    return;
  }
  startLive(renewQuietly);
  try {
    await loadPermissions();
  } catch (e) {
    stopLive();
    throw e;
  }
  user.value = name;
  outReason.value = '';
  phase.value = 'in';
  clearInterval(renewTimer);
  renewTimer = setInterval(() => void renewQuietly(), LOOK_MS);
  void renewQuietly();
}

export const realms = (): Promise<Realm[]> => get<Realm[]>('/access/domains');

/** The question for a second factor, or null when the password was enough. */
export async function signIn(name: string, password: string): Promise<Challenge | null> {
  const login = await post<Login>('/access/ticket', { username: name, password, cookie: true });
  if (login.NeedTFA && login.ticket)
    return { name, ticket: login.ticket, factors: factorsOf(login.ticket), askedAt: Date.now() };
  keep(login);
  await enter(login.username);
  return null;
}

export async function answer(question: Challenge, kind: Factor, code: string): Promise<void> {
  const login = await post<Login>('/access/ticket',
    { username: question.name, password: `${kind}:${code}`, 'tfa-challenge': question.ticket, cookie: true });
  keep(login);
  await enter(login.username);
}

/** why: also what the other tabs say, which go out with this one. */
function leave(why: OutReason = ''): void {
  stopLive();
  clearInterval(renewTimer);
  outReason.value = why;
  if (kept()?.csrf === csrfToken()) { // another tab may have a new session already
    if (why)
      localStorage.setItem(KEY, JSON.stringify({ ended: why }));
    else
      localStorage.removeItem(KEY);
  }
  setCsrf('');
  phase.value = 'out';
}

export async function signOut(): Promise<void> {
  await renewing; // its late answer would bring the cookie back
  await del('/access/ticket').catch(() => undefined); // when the server is away the page forgets all the same
  leave();
  user.value = '';
  location.assign('/'); // nothing of this user stays in memory
}

let isChangingPassword = false;

/** A new password ends every session, this one too: it is signed in again, unless a second factor is asked for. */
export async function changeOwnPassword(old: string, fresh: string): Promise<void> {
  const name = user.peek();
  isChangingPassword = true;
  try {
    await put('/access/password', { userid: name, password: fresh, 'confirmation-password': old });
    const isIn = await signIn(name, fresh).then((question) => question === null, () => false);
    if (!isIn)
      leave('password');
  } finally {
    isChangingPassword = false;
  }
}

interface Kept { user: string; csrf: string; at: number }

function stored(): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? 'null');
    return isRecord(value) ? value : {};
  } catch {
    return {}; // not ours, or of another version
  }
}

function kept(): Kept | null {
  const { user: name, csrf, at } = stored();
  return name && csrf ? { user: String(name), csrf: String(csrf), at: Number(at ?? 0) } : null;
}

/** Why another tab has ended the session: '' where somebody signed out. */
function endedBecause(): OutReason {
  const { ended } = stored();
  return ended === 'expired' || ended === 'password' ? ended : '';
}

/** The server does not take the session. Where another tab has a new one, that is gone on with. */
function onLost(): void {
  if (phase.peek() !== 'in' || isChangingPassword)
    return;
  const other = kept();
  if (other && other.csrf !== csrfToken())
    return onOther(other);
  leave(other ? 'expired' : endedBecause());
}

/** Another tab has signed in, renewed the session, or (null) ended it. The cookie is the same for all of them. */
function onOther(other: Kept | null): void {
  if (phase.peek() === 'in' && !other)
    leave(endedBecause());
  else if (other && user.peek() && other.user !== user.peek())
    location.reload();
  else if (other && phase.peek() !== 'starting')
    adopt(other);
  if (other && phase.peek() === 'out')
    void enter(other.user).catch(() => undefined);
}

/** The session that was kept. While the server is away nobody is asked for a password that is not needed. */
async function resume(): Promise<void> {
  for (let old = kept(); old; old = kept()) {
    adopt(old);
    try {
      return await enter(old.user);
    } catch (e) {
      if (!(e instanceof ApiError) || (e.status !== 0 && e.status < 500))
        break;
      isOnline.value = false;
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
  }
  leave();
}

export function startSession(): Promise<void> {
  effect(() => { if (sessionLost.value > 0) untracked(onLost); });
  addEventListener('storage', (e) => { if (e.key === KEY || e.key === null) onOther(kept()); });
  return resume();
}
