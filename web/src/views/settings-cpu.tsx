// CPU models made here: a model of the processor, with flags turned on and off. Guests choose them as custom-NAME.
import { useState } from 'preact/hooks';
import { del, get } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { can } from '../core/perms.ts';
import { place, setQuery } from '../core/router.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { Loading } from '../parts/loading.tsx';
import { PlainTable, type PlainColumn } from '../parts/plain-table.tsx';
import { Panel, Tag } from '../parts/small.tsx';
import { useLoad } from '../parts/use.ts';
import { CpuModelDialog } from './settings-cpu-edit.tsx';

export interface CpuModel { cputype: string; 'reported-model'?: string; flags?: string; 'phys-bits'?: string; 'guest-phys-bits'?: number; hidden?: number; 'hv-vendor-id'?: string; level?: number; digest?: string }

export const MODELS = '/cluster/qemu/custom-cpu-models';
/** The path takes the name without the prefix that guests write before it. */
export const bareName = (m: CpuModel): string => m.cputype.replace(/^custom-/, '');

const more = (m: CpuModel): string => [m['phys-bits'] && `phys-bits ${m['phys-bits']}`, m['guest-phys-bits'] && `guest-phys-bits ${m['guest-phys-bits']}`, m.level && `level ${m.level}`,
  m['hv-vendor-id'] && `hv-vendor-id ${m['hv-vendor-id']}`, m.hidden && t('settings.cpu.hidden')].filter(Boolean).join(', ');

const flagsOf = (m: CpuModel): string[] => (m.flags ?? '').split(';').filter(Boolean);

export default function SettingsCpu() {
  const list = useLoad(MODELS, '', () => get<CpuModel[]>(MODELS));
  const [leaving, setLeaving] = useState<CpuModel | null>(null);
  const edited = place.value.query.get('model');
  const mayCreate = can('/mapping/cpu', 'Mapping.Modify');
  const may = (m: CpuModel): boolean => can(`/mapping/cpu/${bareName(m)}`, 'Mapping.Modify');
  const close = (): void => setQuery({ model: null });
  const columns: PlainColumn<CpuModel>[] = [
    { id: 'name', title: 'guest.name', cell: (m) => <strong>{m.cputype}</strong> },
    { id: 'model', title: 'settings.cpu.model', cell: (m) => m['reported-model'] ?? 'kvm64' },
    { id: 'flags', title: 'settings.cpu.flags', yields: 1, cell: (m) => <span class="row wrap">{flagsOf(m).map((f) => <Tag key={f} name={f} />)}</span> },
    { id: 'more', title: 'settings.cpu.more', yields: 2, cell: more },
    { id: 'tools', title: 'more', isTools: true, cell: (m) => may(m) && <span class="row">
      <Button tone="ghost" icon="edit" label={t('config.edit', { what: m.cputype })} onClick={() => setQuery({ model: bareName(m) }, { push: true })} />
      <Button tone="ghost" icon="trash" label={t('settings.cpu.delete', { name: m.cputype })} onClick={() => setLeaving(m)} />
    </span> },
  ];
  const tools = mayCreate && <Button tone="main" icon="plus" onClick={() => setQuery({ model: '+' }, { push: true })}>{t('settings.cpu.create')}</Button>;
  return (
    <Panel title={t('settings.tab.cpu')} tools={tools}>
      <p class="quiet settings-help">{t('settings.cpu.help')}</p>
      <Loading of={list}>{(all) => {
        const found = all.find((m) => bareName(m) === edited);
        return <>
          <PlainTable label={t('settings.tab.cpu')} columns={columns} rows={all} idOf={(m) => m.cputype} empty={t('settings.cpu.none')} />
          {edited === '+' && mayCreate && <CpuModelDialog before={undefined} onDone={list.reload} onClose={close} />}
          {found && may(found) && <CpuModelDialog before={found} onDone={list.reload} onClose={close} />}
          {leaving && <FormDialog title={t('settings.cpu.delete', { name: leaving.cputype })} submit={t('settings.delete')} isDanger typeName={bareName(leaving)} onClose={() => setLeaving(null)}
            onSubmit={async () => { await del(`${MODELS}/${encodeURIComponent(bareName(leaving))}`); list.reload(); }}>{() => <p>{t('settings.cpu.deleteText')}</p>}</FormDialog>}
        </>;
      }}</Loading>
    </Panel>
  );
}
