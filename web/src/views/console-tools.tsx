// The line of tools above a console: how it stands, which one it is, what can be done with it.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { RefObject } from 'preact';
import { SERIAL, type GuestConfig, type Kind, type Phase, type Session } from '../core/console.ts';
import type { Device } from '../core/console-device.ts';
import { t, type Key } from '../core/i18n.ts';
import { href, setQuery } from '../core/router.ts';
import type { Guest } from '../core/store.ts';
import { Button } from '../parts/button.tsx';
import { copyText } from '../parts/equal.tsx';
import { State } from '../parts/state.tsx';
import { CTRL_ALT_DEL, KeyMenu, Keys } from './console-menu.tsx';
import { PasteDialog } from './console-paste.tsx';
import { GuestActions } from './guest-actions.tsx';

export interface Tools {
  guest: Guest;
  kinds: readonly Kind[];
  kind: Kind;
  config: GuestConfig;
  device: Device | null;
  session: Session;
  box: RefObject<HTMLElement | null>;
  isWindow: boolean;
  layout: string;
  onLayout: (name: string) => void;
}

const LOOKS: Readonly<Record<Phase, readonly [state: string, text: Key]>> = {
  off: ['stopped', 'console.isOff'], connecting: ['busy', 'console.connecting'], connected: ['running', 'console.connected'],
  waiting: ['warning', 'console.waiting'], ended: ['failed', 'console.ended'],
};

const kindTitle = (kind: Kind): string => (kind === 'vnc' ? t('console.screen') : t('console.serial', { n: SERIAL.indexOf(kind) }));

function Kinds({ kinds, kind }: { kinds: readonly Kind[]; kind: Kind }) {
  if (kinds.length === 1)
    return <span class="console-kind">{kindTitle(kind)}</span>;
  return (
    <div class="row chips" role="group" aria-label={t('console.which')}>
      {kinds.map((k) => <button key={k} type="button" class="chip" aria-pressed={k === kind} onClick={() => setQuery({ kind: k })}>{kindTitle(k)}</button>)}
    </div>
  );
}

function useFullScreen(box: RefObject<HTMLElement | null>): readonly [boolean, () => void] {
  const [isFull, setFull] = useState(false);
  useEffect(() => {
    const look = (): void => setFull(document.fullscreenElement !== null && document.fullscreenElement === box.current);
    document.addEventListener('fullscreenchange', look);
    return () => document.removeEventListener('fullscreenchange', look);
  }, []);
  const toggle = (): void => {
    if (isFull)
      void document.exitFullscreen();
    else
      void box.current?.requestFullscreen().then(lockKeys, () => undefined);
  };
  return [isFull, toggle];
}

interface WithKeyboard { keyboard?: { lock?: () => Promise<void> } }

/** Where the browser lets us, Escape, Alt+Tab and the like are the guest's, too; a long Escape still leaves. */
const lockKeys = (): void => void (navigator as WithKeyboard).keyboard?.lock?.().catch(() => undefined);

function Zoom({ device, isScreen }: { device: Device; isScreen: boolean }) {
  const [level, setLevel] = useState(isScreen ? 1 : 0);
  const put = (next: number): void => {
    setLevel(next);
    device.zoom(next);
  };
  if (isScreen)
    return <Button tone="ghost" icon="fit" label={t('console.fit')} isPressed={level === 1} onClick={() => put(level ? 0 : 1)} />;
  return (
    <span class="row console-zoom">
      <Button tone="ghost" label={t('console.smaller')} onClick={() => put(Math.max(-3, level - 1))}><span aria-hidden="true">A−</span></Button>
      <Button tone="ghost" label={t('console.larger')} onClick={() => put(Math.min(7, level + 1))}><span aria-hidden="true">A+</span></Button>
    </span>
  );
}

/** A window of its own: another for each guest and console, the same when it is asked for again. */
function popOut(guest: Guest, kind: Kind): void {
  window.open(`${href('console', guest.vmid)}?kind=${kind}`, `holm-console-${guest.vmid}-${kind}`, 'popup,width=1060,height=820');
}

export function ConsoleTools(p: Tools) {
  const { device, kind, session } = p;
  const [isPasting, setPasting] = useState(false);
  const [isFull, toggleFull] = useFullScreen(p.box);
  const phase = session.phase.value;
  const isOpen = phase === 'connected' && device !== null;
  const [state, text] = LOOKS[phase];
  const wasPasting = useRef(false);
  useEffect(() => { // the dialog is gone, and does not hold the focus any more
    if (wasPasting.current && !isPasting)
      device?.focus();
    wasPasting.current = isPasting;
  }, [isPasting]);
  return (
    <div class="console-tools row" role="toolbar" aria-label={t('console.tools')}>
      <span class="console-state" role="status"><State state={state} word={t(text)} /></span>
      <Kinds kinds={p.kinds} kind={kind} />
      <span class="row console-buttons">
        {kind !== 'vnc' && <Button tone="ghost" icon="copy" label={t('console.copy')} isDisabled={!device?.hasSelection.value} onClick={() => void copyText(device?.selection() ?? '')} />}
        {kind === 'vnc' && isOpen && <span class="console-cad"><Button tone="ghost" onClick={() => { device.press(CTRL_ALT_DEL[1]); device.focus(); }}><Keys label={CTRL_ALT_DEL[0]} /></Button></span>}
        <Button tone="ghost" icon="paste" label={t('console.paste')} isDisabled={!isOpen} onClick={() => setPasting(true)} />
        {device && <KeyMenu guest={p.guest} kind={kind} config={p.config} device={device} isOpen={isOpen} layout={p.layout} onLayout={p.onLayout} />}
        {device && <Zoom device={device} isScreen={kind === 'vnc'} />}
        {document.fullscreenEnabled && <Button tone="ghost" icon="full" label={t('console.full')} isPressed={isFull} onClick={toggleFull} />}
        {!p.isWindow && <Button tone="ghost" icon="out" label={t('console.popOut')} onClick={() => popOut(p.guest, kind)} />}
        {isFull && <GuestActions guest={p.guest} />}
      </span>
      {isPasting && device && <PasteDialog guest={p.guest} kind={kind} config={p.config} device={device} layout={p.layout} onClose={() => setPasting(false)} />}
    </div>
  );
}
