// The consoles of a guest: which of them is shown, its tools, and what is in its place when there is nothing to show.
import { useEffect, useRef, useState } from 'preact/hooks';
import { isKind, kindsOf, loadConfig, type GuestConfig, type Kind } from '../core/console.ts';
import { choice, choose } from '../core/console-prefs.ts';
import { t } from '../core/i18n.ts';
import { canGuest } from '../core/perms.ts';
import { href, place } from '../core/router.ts';
import type { Guest } from '../core/store.ts';
import { Waiting } from '../parts/loading.tsx';
import { Empty } from '../parts/small.tsx';
import { useLoad } from '../parts/use.ts';
import { Cover, Interruption } from './console-cover.tsx';
import { ExtraKeys } from './console-extra.tsx';
import { ConsoleTools } from './console-tools.tsx';
import { useConsole } from './console-use.tsx';

/** Leaves the console: all other keys are the guest's. */
const isLeaving = (e: KeyboardEvent): boolean => e.key === 'F6' && e.ctrlKey && e.shiftKey;

interface Props { guest: Guest; kinds: readonly Kind[]; kind: Kind; config: GuestConfig; isWindow: boolean }

function One({ guest, kinds, kind, config, isWindow }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const surface = useRef<HTMLDivElement>(null);
  const [layout, setLayout] = useState(choice('keys', guest.vmid));
  const table = String(config['keyboard'] ?? '');
  const { device, session, error } = useConsole(guest, kind, surface, { table, layout });
  const leave = (e: KeyboardEvent): void => {
    if (!isLeaving(e))
      return;
    e.preventDefault();
    e.stopPropagation();
    box.current?.querySelector<HTMLElement>('.console-tools :is(button, a, select):not(:disabled)')?.focus();
  };
  return (
    <div ref={box} class="console" data-phase={session.phase.value}>
      <ConsoleTools guest={guest} kinds={kinds} kind={kind} config={config} device={device} session={session} box={box} isWindow={isWindow}
        layout={layout} onLayout={(name) => { choose('keys', guest.vmid, name); setLayout(name); }} />
      <div class="console-stage" onKeyDownCapture={leave}>
        <div ref={surface} class={kind === 'vnc' ? 'console-surface screen' : 'console-surface terminal'} />
        <Interruption session={session} />
        <Cover guest={guest} session={session} error={error} mayPeek={kind !== 'vnc'} />
      </div>
      {device && session.phase.value === 'connected' && <ExtraKeys device={device} isScreen={kind === 'vnc'} />}
    </div>
  );
}

/** Who may use the console but not read the configuration is offered the likely ones. */
const UNKNOWN: readonly Kind[] = ['vnc', 'serial0'];

export function ConsoleView({ guest, isWindow }: { guest: Guest; isWindow: boolean }) {
  const { value, error } = useLoad(`console ${guest.vmid}`, guest.status, () => loadConfig(guest));
  useEffect(() => () => { if (document.fullscreenElement) void document.exitFullscreen(); }, []);
  if (guest.template || !canGuest(guest.vmid, 'VM.Console'))
    return <Empty icon="shield" title={t('console.mayNot')} />;
  if (!value && !error)
    return <Waiting />;
  const kinds = value ? kindsOf(value) : UNKNOWN;
  const wanted = place.value.query.get('kind');
  const kind = isKind(wanted) && kinds.includes(wanted) ? wanted : kinds[0];
  if (!kind)
    return <Empty icon="screen" title={t('console.none')}><p class="quiet">{t('console.noneHelp')}</p><a href={href('guests', guest.vmid, 'hardware')}>{t('tab.hardware')}</a></Empty>;
  return <One key={`${guest.vmid} ${kind}`} guest={guest} kinds={kinds} kind={kind} config={value ?? {}} isWindow={isWindow} />;
}
