// What can be done with guests, as rows: who may, when it makes sense, which call it is.
import { post } from './api.ts';
import { canGuest } from './perms.ts';
import type { Guest } from './store.ts';
import type { Key } from './i18n.ts';
import type { IconName } from '../parts/icon.tsx';

export interface GuestAction {
  id: 'start' | 'shutdown' | 'stop' | 'reboot' | 'reset' | 'suspend' | 'resume';
  label: Key;
  icon: IconName;
  privilege: string;
  /** The guest loses what it has not written. */
  isHard: boolean;
  fits: (g: Guest) => boolean;
}

/** Why a guest with a process does not run; anything else, such as "starting", passes by itself. */
const STANDSTILL: Readonly<Record<string, string>> = {
  paused: 'paused', suspended: 'paused', prelaunch: 'paused', 'io-error': 'io-error',
  panicked: 'panicked', 'guest-panicked': 'panicked', 'internal-error': 'panicked', watchdog: 'panicked',
};

/** The state that is shown: the server's "status" calls a guest running that stands still. */
export const stateOf = (g: Pick<Guest, 'status' | 'qmpstatus'>): string => (g.status === 'running' && STANDSTILL[g.qmpstatus ?? '']) || g.status;
/** What stateOf() says, in the order in which they are counted. */
export const STATES = ['running', 'paused', 'io-error', 'panicked', 'stopped'] as const;

const isUp = (g: Guest): boolean => stateOf(g) === 'running';

export const GUEST_ACTIONS: readonly GuestAction[] = [
  { id: 'start', label: 'action.start', icon: 'play', privilege: 'VM.PowerMgmt', isHard: false, fits: (g) => g.status === 'stopped' && !g.template },
  { id: 'resume', label: 'action.resume', icon: 'play', privilege: 'VM.PowerMgmt', isHard: false, fits: (g) => ['paused', 'io-error'].includes(stateOf(g)) },
  { id: 'shutdown', label: 'action.shutdown', icon: 'power', privilege: 'VM.PowerMgmt', isHard: false, fits: isUp },
  { id: 'reboot', label: 'action.reboot', icon: 'reload', privilege: 'VM.PowerMgmt', isHard: false, fits: isUp },
  { id: 'suspend', label: 'action.suspend', icon: 'pause', privilege: 'VM.PowerMgmt', isHard: false, fits: isUp },
  { id: 'stop', label: 'action.stop', icon: 'stop', privilege: 'VM.PowerMgmt', isHard: true, fits: (g) => g.status !== 'stopped' },
  { id: 'reset', label: 'action.reset', icon: 'bolt', privilege: 'VM.PowerMgmt', isHard: true, fits: (g) => g.status !== 'stopped' },
];

export const guestPath = (g: Pick<Guest, 'node' | 'vmid'>): string => `/nodes/${encodeURIComponent(g.node)}/qemu/${g.vmid}`;

export const mayAct = (g: Guest, a: GuestAction): boolean => canGuest(g.vmid, a.privilege) && a.fits(g);

export const startAction = (g: Guest, a: GuestAction): Promise<unknown> => post(`${guestPath(g)}/status/${a.id}`);

export const tagsOf = (g: Guest): string[] => (g.tags ?? '').split(/[;, ]+/).filter(Boolean);
