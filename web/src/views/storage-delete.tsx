// Volumes are removed, each with its result. Who removes disks of a guest types a name first.
import { useState } from 'preact/hooks';
import { signal, type Signal } from '@preact/signals';
import { del } from '../core/api.ts';
import { bytes } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { volumePath } from '../core/paths.ts';
import { errorText, run } from '../core/tasks.ts';
import { volumeName, type Volume } from '../core/volumes.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Field } from '../parts/field.tsx';
import { State } from '../parts/state.tsx';

interface Item { volume: Volume; state: 'waiting' | 'busy' | 'ok' | 'failed'; text: string }

const AT_ONCE = 2;

async function removeOne(item: Signal<Item>, node: string, storage: string): Promise<void> {
  item.value = { ...item.value, state: 'busy' };
  try {
    await run(() => del(volumePath(node, storage, item.value.volume.volid)));
    item.value = { ...item.value, state: 'ok' };
  } catch (e) {
    item.value = { ...item.value, state: 'failed', text: errorText(e) };
  }
}

function ItemRow({ item }: { item: Signal<Item> }) {
  const { volume: v, state, text } = item.value;
  return (
    <li class="row">
      <span class="grow ellipsis">{volumeName(v.volid)} <span class="quiet num">{bytes(v.size)}</span></span>
      {v.protected && state === 'waiting' ? <span class="warn-text">{t('storage.protected')}</span> : state !== 'waiting' && <State state={state} />}
      {text && <span class="bad-text item-text">{text}</span>}
    </li>
  );
}

interface Props { node: string; storage: string; volumes: readonly Volume[]; onDone: () => void; onClose: () => void }

/** What has to be typed: the disk's name, or the storage's where there are several. */
function nameToType(volumes: readonly Volume[], storage: string): string {
  const disks = volumes.filter((v) => v.content === 'images' || v.content === 'rootdir');
  const only = volumes[0];
  return !disks.length ? '' : volumes.length === 1 && only ? volumeName(only.volid) : storage;
}

export function DeleteDialog(p: Props) {
  const [items] = useState(() => p.volumes.map((volume) => signal<Item>({ volume, state: 'waiting', text: '' })));
  const [phase, setPhase] = useState<'ask' | 'busy' | 'done'>('ask');
  const [typed, setTyped] = useState('');
  const name = nameToType(p.volumes, p.storage);
  const n = p.volumes.length;
  const start = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (phase !== 'ask' || (name && typed !== name))
      return;
    setPhase('busy');
    const left = [...items];
    const worker = async (): Promise<void> => {
      for (let item = left.shift(); item; item = left.shift())
        await removeOne(item, p.node, p.storage);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    setPhase('done');
    p.onDone();
    if (items.every((i) => i.value.state === 'ok'))
      p.onClose();
  };
  return (
    <Dialog title={t('storage.deleteOf', { n })} onClose={p.onClose}>
      <form class="stack" onSubmit={(e) => void start(e)}>
        {phase === 'ask' && <p>{t(name ? 'storage.deleteDisks' : 'storage.deleteText')}</p>}
        <ul class="items" aria-live="polite">{items.map((item) => <ItemRow key={item.peek().volume.volid} item={item} />)}</ul>
        {phase === 'ask' && name && <Field label={t('confirm.type', { name })} value={typed} onInput={setTyped} hasFocus />}
        <footer class="row dialog-foot">
          {phase === 'done'
            ? <Button tone="main" onClick={p.onClose}>{t('close')}</Button>
            : <>
              <Button onClick={p.onClose}>{phase === 'ask' ? t('cancel') : t('bulk.background')}</Button>
              <Button type="submit" tone="danger" isBusy={phase === 'busy'} isDisabled={phase === 'ask' && name !== '' && typed !== name}>{t('storage.delete')}</Button>
            </>}
        </footer>
      </form>
    </Dialog>
  );
}
