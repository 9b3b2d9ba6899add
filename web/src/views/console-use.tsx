// A console's device and its connection, for as long as it is shown.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { RefObject } from 'preact';
import { openSocket, Session, type Kind } from '../core/console.ts';
import type { Device } from '../core/console-device.ts';
import { choice } from '../core/console-prefs.ts';
import { t } from '../core/i18n.ts';
import type { Guest } from '../core/store.ts';

interface Keys { table: string; layout: string }
export interface Console { device: Device | null; session: Session; error: unknown }

/** The libraries come when a console is opened. */
async function makeDevice(kind: Kind, target: HTMLElement, name: string, keys: () => Keys): Promise<Device> {
  if (kind === 'vnc')
    return new (await import('../core/console-screen.ts')).Screen(target, t('console.screenOf', { name }), keys);
  return new (await import('../core/console-terminal.ts')).Terminal(target, t('console.terminalOf', { name }));
}

/** One can type at once; but nobody is torn away from something else, and no phone's keyboard comes up unasked. */
function mayTakeFocus(): boolean {
  const at = document.activeElement;
  const isFree = !at || at === document.body || at.closest('.tabs, .console-tools, .console-stage') !== null;
  return isFree && !matchMedia('(pointer: coarse)').matches && !document.querySelector('dialog[open], [popover]:popover-open');
}

export function useConsole(guest: Guest, kind: Kind, surface: RefObject<HTMLElement | null>, keys: Keys): Console {
  const [device, setDevice] = useState<Device | null>(null);
  const [error, setError] = useState<unknown>(null);
  const now = useRef({ guest, keys });
  now.current = { guest, keys };
  const made = useRef<Device | null>(null);
  const session = useMemo(() => new Session(async (link) => {
    const opened = await openSocket(now.current.guest, kind);
    if (!made.current)
      throw new Error('closed');
    return made.current.attach(opened, link);
  }), []);
  useEffect(() => {
    let isWanted = true;
    const target = surface.current;
    if (!target)
      return;
    makeDevice(kind, target, guest.name, () => now.current.keys).then(
      (found) => {
        if (!isWanted)
          return found.dispose();
        made.current = found;
        found.readAloud(choice('aloud', guest.vmid) !== '');
        setDevice(found);
      },
      (e: unknown) => { if (isWanted) setError(e); },
    );
    return () => {
      isWanted = false;
      session.drop();
      made.current?.dispose();
      made.current = null;
    };
  }, []);
  const isUp = guest.status === 'running' || guest.status === 'paused';
  useEffect(() => { if (device) session.setUp(isUp); }, [device, isUp]);
  useEffect(() => { if (session.phase.value === 'connected' && mayTakeFocus()) made.current?.focus(); }, [session.phase.value]);
  return { device, session, error };
}
