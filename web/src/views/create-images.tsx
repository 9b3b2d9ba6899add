// Cloud images that can be had: what the catalogue names and no storage holds yet, each brought in by a button.
import { useState } from 'preact/hooks';
import { get, post } from '../core/api.ts';
import { fileOf } from '../core/create.ts';
import { change } from '../core/create-draft.ts';
import { holds } from '../core/create-offer.ts';
import { hostOf } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { canStorage } from '../core/perms.ts';
import { act } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Select } from '../parts/field.tsx';
import type { Volume } from '../parts/pickers.tsx';
import { useLoad } from '../parts/use.ts';
import type { Wizard } from './create-wizard.ts';

interface Image { name: string; format: string; url: string; source: string }

function Row({ image, isBusy, onGet }: { image: Image; isBusy: boolean; onGet: () => void }) {
  return (
    <li class="choice">
      <span class="grow"><strong>{image.name}</strong> <span class="quiet">{hostOf(image.url)}</span></span>
      <Button icon="download" isBusy={isBusy} label={t('create.image.get', { name: image.name })} onClick={onGet} />
    </li>
  );
}

export function Catalogue({ w, volumes }: { w: Wizard; volumes: readonly Volume[] }) {
  const storages = w.offer.storages.filter((s) => holds(s, 'import') && canStorage(s.storage, 'Datastore.AllocateTemplate')).map((s) => s.storage);
  const { value, error, reload } = useLoad(`images ${w.d.node}`, '', () => get<Image[]>(`${nodePath(w.d.node)}/images`));
  const [chosen, setChosen] = useState('');
  const [busy, setBusy] = useState<ReadonlySet<string>>(new Set());
  const storage = chosen || storages[0] || '';
  const bring = async (image: Image): Promise<void> => {
    setBusy((old) => new Set([...old, image.name]));
    const volid = `${storage}:import/${image.name}.${image.format}`;
    const isThere = await act(t('create.image.get', { name: image.name }), () => post(`${nodePath(w.d.node)}/images`, { image: image.name, storage }));
    if (isThere)
      change({ image: volid });
    setBusy((old) => new Set([...old].filter((name) => name !== image.name)));
  };
  if (!storages.length)
    return null;
  const there = new Set(volumes.map((v) => fileOf(v.volid)));
  const left = (value ?? []).filter((i) => !there.has(`${i.name}.${i.format}`));
  return (
    <details class="catalogue" open={volumes.length === 0}>
      <summary>{t('create.image.catalogue')}</summary>
      <p class="quiet">{t('create.image.help')}</p>
      {error !== null && <ErrorBox error={error} onRetry={reload} />}
      {storages.length > 1 && <Select label={t('create.storage')} value={storage} options={storages.map((s) => [s, s] as const)} onChange={setChosen} />}
      <ul class="choice-list">{left.map((i) => <Row key={i.name} image={i} isBusy={busy.has(i.name)} onGet={() => void bring(i)} />)}</ul>
    </details>
  );
}
