// Volumes of one kind to choose one of, of every storage that holds such.
import { useId, useState } from 'preact/hooks';
import { get } from '../core/api.ts';
import { fileOf } from '../core/create.ts';
import { holds } from '../core/create-offer.ts';
import { bytes, dateTime } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { storagePath } from '../core/paths.ts';
import { canStorage } from '../core/perms.ts';
import { href } from '../core/router.ts';
import { Select } from '../parts/field.tsx';
import { Icon } from '../parts/icon.tsx';
import type { Volume } from '../parts/pickers.tsx';
import { useLoad } from '../parts/use.ts';
import { doneTasks, type Wizard } from './create-wizard.ts';

const MANY = 8;

/** null: not there yet. */
export function useVolumesOf(w: Wizard, content: string): readonly Volume[] | null {
  const names = w.offer.storages.filter((s) => holds(s, content)).map((s) => s.storage);
  const load = async (): Promise<Volume[]> => {
    const lists = await Promise.all(names.map((s) => get<Volume[]>(`${storagePath(w.d.node, s)}/content`, { content }).catch(() => [])));
    return lists.flat().sort((a, b) => fileOf(a.volid).localeCompare(fileOf(b.volid), undefined, { numeric: true }));
  };
  return useLoad(`all ${content} ${names.join(' ')}`, doneTasks(), load).value;
}

export const storageOf = (volid: string): string => volid.slice(0, volid.indexOf(':'));

function Row(p: { volume: Volume; group: string; isChosen: boolean; hasStorage: boolean; onChoose: () => void }) {
  return (
    <label class="choice">
      <input type="radio" name={p.group} value={p.volume.volid} checked={p.isChosen} onChange={p.onChoose} />
      <span class="grow ellipsis" title={p.volume.volid}>{fileOf(p.volume.volid)}</span>
      {p.hasStorage && <span class="quiet">{storageOf(p.volume.volid)}</span>}
      {p.volume.ctime !== undefined && <time class="quiet num choice-date">{dateTime(p.volume.ctime)}</time>}
      <span class="quiet num">{bytes(p.volume.size)}</span>
    </label>
  );
}

/** Where such files are brought in, for those who may. */
export function BringIn({ w, content }: { w: Wizard; content: string }) {
  const storages = w.offer.storages.filter((s) => holds(s, content) && canStorage(s.storage, 'Datastore.AllocateTemplate'));
  if (!storages.length)
    return null;
  return (
    <p class="row wrap bring-in">
      <Icon name="upload" /><span>{t('create.bringIn')}</span>
      {storages.map((s) => <a key={s.storage} href={href('storage', w.d.node, s.storage, 'upload')}>{s.storage}</a>)}
    </p>
  );
}

interface ChoiceProps {
  w: Wizard;
  content: string;
  label: string;
  none: string;
  volumes: readonly Volume[] | null;
  value: string;
  error: string | undefined;
  onChange: (volume: Volume) => void;
}

export function VolumeChoice(p: ChoiceProps) {
  const group = useId();
  const [storage, setStorage] = useState('');
  const [text, setText] = useState('');
  const all = p.volumes ?? [];
  const storages = [...new Set(all.map((v) => storageOf(v.volid)))].sort();
  const found = all.filter((v) => (!storage || storageOf(v.volid) === storage) && fileOf(v.volid).toLowerCase().includes(text.toLowerCase()));
  return (
    <fieldset class={p.error ? 'choices field wrong' : 'choices field'}>
      <legend>{p.label}</legend>
      {(all.length > MANY || storages.length > 1) && <div class="row wrap">
        {all.length > MANY && <label class="search-box grow"><Icon name="search" /><span class="hidden-text">{t('create.find')}</span>
          <input type="search" value={text} placeholder={t('create.find')} onInput={(e) => setText(e.currentTarget.value)} /></label>}
        {storages.length > 1 && <Select label={t('create.storage')} value={storage} options={[['', t('create.allStorages')], ...storages.map((s) => [s, s] as const)]} onChange={setStorage} />}
      </div>}
      {found.length > 0 && <div class="choice-list">{found.map((v) =>
        <Row key={v.volid} volume={v} group={group} isChosen={v.volid === p.value} hasStorage={storages.length > 1} onChoose={() => p.onChange(v)} />)}</div>}
      {p.volumes && !found.length && <p class="quiet">{all.length ? t('create.noMatch') : p.none}</p>}
      {p.error && <p class="field-error">{p.error}</p>}
      <BringIn w={p.w} content={p.content} />
    </fieldset>
  );
}
