// Keys that the browser or the system keeps for itself, and what the keyboard is.
import { useState } from 'preact/hooks';
import { put } from '../core/api.ts';
import type { GuestConfig, Kind } from '../core/console.ts';
import type { Device } from '../core/console-device.ts';
import { DEFAULT_LAYOUT, layoutNames } from '../core/console-keys.ts';
import { choice, choose } from '../core/console-prefs.ts';
import { guestPath } from '../core/guests.ts';
import { language, t } from '../core/i18n.ts';
import type { Guest } from '../core/store.ts';
import { act } from '../core/tasks.ts';
import { Check, Select } from '../parts/field.tsx';
import { Menu, MenuItem } from '../parts/menu.tsx';

type Chord = readonly [label: string, codes: readonly string[]];

export const CTRL_ALT_DEL: Chord = ['Ctrl Alt Del', ['ControlLeft', 'AltLeft', 'Delete']];
const CHORDS: readonly Chord[] = [
  CTRL_ALT_DEL,
  ['Ctrl Alt ⌫', ['ControlLeft', 'AltLeft', 'Backspace']],
  ['Ctrl Esc', ['ControlLeft', 'Escape']],
  ['Alt Tab', ['AltLeft', 'Tab']],
  ['Alt F4', ['AltLeft', 'F4']],
  ['Meta', ['MetaLeft']],
  ['Meta L', ['MetaLeft', 'KeyL']],
  ['Print', ['PrintScreen']],
  ...Array.from({ length: 7 }, (_, i): Chord => [`Ctrl Alt F${i + 1}`, ['ControlLeft', 'AltLeft', `F${i + 1}`]]),
];

/** "de-ch" in words, in the page's language. */
export const layoutTitle = (name: string): string =>
  `${new Intl.DisplayNames(language.value, { type: 'language', languageDisplay: 'standard' }).of(name) ?? name} (${name})`;

export function layoutOptions(): (readonly [string, string])[] {
  const collator = new Intl.Collator(language.value);
  return layoutNames().map((name) => [name, layoutTitle(name)] as const).sort((a, b) => collator.compare(a[1], b[1]));
}

/** What the guest most likely has, when nobody said. */
export const guessLayout = (guest: Guest, config: GuestConfig): string => choice('paste', guest.vmid) || String(config['keyboard'] ?? DEFAULT_LAYOUT);

export const Keys = ({ label }: { label: string }) => <>{label.split(' ').map((part) => <kbd key={part}>{part}</kbd>)}</>;

interface Props { guest: Guest; kind: Kind; config: GuestConfig; device: Device; isOpen: boolean; layout: string; onLayout: (name: string) => void }

function ScreenItems({ device, isOpen, layout, onLayout }: Props) {
  return (
    <>
      <div class="prefs console-layout" onKeyDown={(e) => e.stopPropagation()}>
        <Select label={t('console.layout')} value={layout} options={[['', t('console.layoutSame')], ...layoutOptions()]} onChange={onLayout} help={layout ? t('console.layoutHelp') : t('console.layoutSameHelp')} />
      </div>
      {isOpen && <div class="console-chords">{CHORDS.map(([label, codes]) => <MenuItem key={label} onClick={() => { device.press(codes); device.focus(); }}><Keys label={label} /></MenuItem>)}</div>}
    </>
  );
}

function SerialItems({ guest, config, device, isOpen }: Props) {
  const [isAloud, setAloud] = useState(choice('aloud', guest.vmid) !== '');
  const size = device.size();
  const stty = `stty rows ${size?.rows ?? 24} cols ${size?.columns ?? 80}`;
  const readAloud = (isOn: boolean): void => {
    setAloud(isOn);
    choose('aloud', guest.vmid, isOn ? '1' : '');
    device.readAloud(isOn);
  };
  // A serial line has no Ctrl+Alt+Del; the guest's keyboard does, where its engine gives it one.
  const mayPress = isOpen && config['engine'] === 'qemu';
  return (
    <>
      {isOpen && <MenuItem icon="keyboard" onClick={() => { device.input(`${stty}\r`); device.focus(); }}><span>{t('console.stty')}<code class="quiet console-note">{stty}</code></span></MenuItem>}
      {mayPress && <MenuItem icon="bolt" onClick={() => void act(t('console.pressed', { keys: 'Ctrl+Alt+Del' }), () => put(`${guestPath(guest)}/sendkey`, { key: 'ctrl-alt-delete' }))}><Keys label="Ctrl Alt Del" /></MenuItem>}
      <div class="menu-item"><Check label={t('console.aloud')} value={isAloud} onChange={readAloud} /></div>
    </>
  );
}

export function KeyMenu(p: Props) {
  const [turn, setTurn] = useState(0);
  return (
    <span onClick={() => setTurn(turn + 1)}>
      <Menu label={t('console.keys')} icon="keyboard" tone="ghost" isBare>
        {p.kind === 'vnc' ? <ScreenItems {...p} /> : <SerialItems {...p} />}
        <p class="console-note quiet"><kbd>Ctrl</kbd><kbd>Shift</kbd><kbd>F6</kbd> {t('console.leave')}</p>
      </Menu>
    </span>
  );
}
