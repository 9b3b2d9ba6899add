// The order in which devices are tried: by mouse, by buttons, by Alt and arrow keys.
import { useRef, useState } from 'preact/hooks';
import { bootable, bootOrder, moved } from '../core/hardware.ts';
import { saidShort } from '../core/hardware-text.ts';
import { t } from '../core/i18n.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { Icon } from '../parts/icon.tsx';
import { Preview, When, send, type GuestConfig } from './hw-form.tsx';

interface Entry { key: string; isOn: boolean }

function entriesOf(config: GuestConfig): Entry[] {
  const order = bootOrder(config.values);
  return [...order.map((key) => ({ key, isOn: true })), ...bootable(config.values).filter((k) => !order.includes(k)).map((key) => ({ key, isOn: false }))];
}

export function BootDialog({ config }: { config: GuestConfig }) {
  const [entries, setEntries] = useState(() => entriesOf(config));
  const list = useRef<HTMLOListElement>(null);
  const dragged = useRef(-1);
  const go = (from: number, to: number): void => {
    if (to < 0 || to >= entries.length)
      return;
    setEntries(moved(entries, from, to));
    requestAnimationFrame(() => list.current?.querySelectorAll('input')[to]?.focus());
  };
  const toggle = (at: number): void => setEntries(entries.map((e, i) => (i === at ? { ...e, isOn: !e.isOn } : e)));
  const changes: Record<string, string> = { boot: `order=${entries.filter((e) => e.isOn).map((e) => e.key).join(';')}`, ...('bootdisk' in config.values ? { delete: 'bootdisk' } : {}) };
  const onKey = (event: KeyboardEvent, i: number): void => {
    if (!event.altKey || (event.key !== 'ArrowUp' && event.key !== 'ArrowDown'))
      return;
    event.preventDefault();
    go(i, event.key === 'ArrowUp' ? i - 1 : i + 1);
  };
  return (
    <FormDialog title={t('key.boot')} submit={t('save')} onClose={config.onClose} onSubmit={() => send(config, t('key.boot'), changes, false, ['boot'])}>
      {(errors) => <>
        <p class="quiet">{t('hw.boot.text')}</p>
        <ol class="hw-boot" ref={list}>
          {entries.map((e, i) => (
            <li key={e.key} class={e.isOn ? 'row' : 'row off'} draggable onKeyDown={(event) => onKey(event, i)}
              onDragStart={() => { dragged.current = i; }} onDragOver={(event) => event.preventDefault()}
              onDrop={(event) => { event.preventDefault(); if (dragged.current >= 0) setEntries(moved(entries, dragged.current, i)); dragged.current = -1; }}>
              <span class="hw-grip" aria-hidden="true"><Icon name="grip" /></span>
              <label class="row grow"><input type="checkbox" autofocus={i === 0} checked={e.isOn} onChange={() => toggle(i)} /><strong>{e.key}</strong><span class="quiet ellipsis grow">{saidShort(e.key, config.values[e.key] ?? '')}</span></label>
              <Button tone="ghost" icon="up" label={t('hw.boot.up', { what: e.key })} isDisabled={i === 0} onClick={() => go(i, i - 1)} />
              <Button tone="ghost" icon="down" label={t('hw.boot.down', { what: e.key })} isDisabled={i === entries.length - 1} onClick={() => go(i, i + 1)} />
            </li>))}
        </ol>
        {errors['boot'] && <p class="field-error">{errors['boot']}</p>}
        <When config={config} changes={{ boot: changes['boot'] }} /><Preview config={config} changes={changes} />
      </>}
    </FormDialog>
  );
}
