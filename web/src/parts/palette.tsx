// Ctrl-K: everything by typing (core/commands.ts).
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { signal } from '@preact/signals';
import { findCommands, type Command, type View } from '../core/commands.ts';
import { t } from '../core/i18n.ts';
import { Icon } from './icon.tsx';

export const isPaletteOpen = signal(false);

/** The shell says which views there are. */
export const paletteViews: { list: () => readonly View[] } = { list: () => [] };

function Palette() {
  const ref = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const entries = findCommands(text, paletteViews.list());
  useLayoutEffect(() => ref.current?.showModal(), []);
  const run = (entry: Command | undefined): void => {
    if (!entry)
      return;
    ref.current?.close();
    entry.run();
  };
  const onKey = (event: KeyboardEvent): void => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step && entries.length)
      setAt((at + step + entries.length) % entries.length);
    else if (event.key === 'Enter')
      run(entries[at]);
    else
      return;
    event.preventDefault();
  };
  return (
    <dialog ref={ref} class="dialog palette" aria-label={t('palette.title')} onClose={() => { isPaletteOpen.value = false; }}>
      <div class="search-box"><Icon name="search" />
        <input type="text" role="combobox" aria-expanded="true" aria-controls="palette-list" aria-activedescendant={entries[at] ? `p-${entries[at].id}` : undefined}
          aria-label={t('palette.title')} placeholder={t('palette.hint')} autofocus value={text} onKeyDown={onKey}
          onInput={(e) => { setText(e.currentTarget.value); setAt(0); }} />
      </div>
      <ul id="palette-list" role="listbox" aria-label={t('palette.title')}>
        {entries.map((entry, i) => (
          <li key={entry.id} id={`p-${entry.id}`} role="option" aria-selected={i === at} onClick={() => run(entry)} onMouseMove={() => setAt(i)}>
            <Icon name={entry.icon} /><span class="grow ellipsis">{entry.text}</span><span class="quiet num">{entry.more}</span>
          </li>
        ))}
        {!entries.length && <li class="quiet">{t('palette.none')}</li>}
      </ul>
    </dialog>
  );
}

export const CommandPalette = () => (isPaletteOpen.value ? <Palette /> : null);

const isTyping = (target: EventTarget | null): boolean => target instanceof Element && target.closest('input, textarea, select, [contenteditable], .keys-are-its-own') !== null;

/** Ctrl-K anywhere; "/" goes to the search of the view. A view that takes every key (a console) has the class
 * keys-are-its-own, and leaves Ctrl-K to this by not taking it. */
export function startPalette(): void {
  addEventListener('keydown', (event) => {
    if (event.key.toLowerCase() === 'k' && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      isPaletteOpen.value = !isPaletteOpen.value;
    } else if (event.key === '/' && !event.ctrlKey && !event.metaKey && !event.altKey && !isTyping(event.target) && !document.querySelector('dialog[open]')) {
      const search = document.querySelector<HTMLInputElement>('main input[type=search]');
      if (search) {
        event.preventDefault();
        search.focus();
      }
    }
  });
}
