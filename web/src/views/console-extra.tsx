// Keys that a phone's keyboard does not have, and the way to bring that keyboard up.
import { useRef } from 'preact/hooks';
import type { Device, Modifier } from '../core/console-device.ts';
import { t, type Key } from '../core/i18n.ts';
import { Icon } from '../parts/icon.tsx';

type Extra = readonly [text: string, code: string, label?: Key];
const KEYS: readonly Extra[] = [['Esc', 'Escape'], ['Tab', 'Tab']];
const ARROWS: readonly Extra[] = [['←', 'ArrowLeft', 'console.left'], ['↓', 'ArrowDown', 'console.down'], ['↑', 'ArrowUp', 'console.up'], ['→', 'ArrowRight', 'console.right']];
const CHARS = ['/', '|', '-', '~'] as const;
const MODIFIERS: readonly (readonly [Modifier, string])[] = [['Control', 'Ctrl'], ['Alt', 'Alt']];

/** So that there is something to delete, which a phone's keyboard tells us of in no other way. */
const FILLER = '\u00a0\u00a0';

/** What a phone's keyboard types for a screen, which has no field of its own. */
function Catcher({ device, into }: { device: Device; into: { current: HTMLTextAreaElement | null } }) {
  const take = (field: HTMLTextAreaElement, isComposing: boolean): void => {
    if (isComposing)
      return;
    const { value } = field;
    if (value.length < FILLER.length)
      device.press(['Backspace']);
    else
      device.input(value.slice(FILLER.length));
    field.value = FILLER;
  };
  return (
    <textarea ref={into} class="hidden-text" tabIndex={-1} aria-label={t('console.typeHere')} defaultValue={FILLER} autocapitalize="off" autocomplete="off" spellcheck={false}
      onFocus={(e) => { e.currentTarget.value = FILLER; e.currentTarget.setSelectionRange(FILLER.length, FILLER.length); }}
      onInput={(e) => take(e.currentTarget, (e as InputEvent).isComposing)} onCompositionEnd={(e) => take(e.currentTarget, false)} />
  );
}

export function ExtraKeys({ device, isScreen }: { device: Device; isScreen: boolean }) {
  const field = useRef<HTMLTextAreaElement>(null);
  const toggle = (name: Modifier): void => {
    const next = new Set(device.held.value);
    if (!next.delete(name))
      next.add(name);
    device.held.value = next;
  };
  const keep = (e: Event): void => e.preventDefault(); // the keyboard stays up
  const button = (text: string, onClick: () => void, label?: string) =>
    <button key={text} type="button" class="extra-key" aria-label={label} onPointerDown={keep} onClick={onClick}>{text}</button>;
  const pressing = ([text, code, label]: Extra) => button(text, () => device.press([code]), label && t(label));
  return (
    <div class="console-extra" role="toolbar" aria-label={t('console.extra')}>
      <button type="button" class="extra-key" aria-label={t('console.keyboard')} onClick={() => (isScreen ? field.current?.focus() : device.focus())}><Icon name="keyboard" /></button>
      {KEYS.map(pressing)}
      {MODIFIERS.map(([name, text]) => <button key={name} type="button" class="extra-key" aria-pressed={device.held.value.has(name)} onPointerDown={keep} onClick={() => toggle(name)}>{text}</button>)}
      {ARROWS.map(pressing)}
      {CHARS.map((char) => button(char, () => device.input(char)))}
      {isScreen && <Catcher device={device} into={field} />}
    </div>
  );
}
