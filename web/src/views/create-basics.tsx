// Who the guest is: number, name, where it belongs, when it starts.
import { change, draft } from '../core/create-draft.ts';
import { t } from '../core/i18n.ts';
import { can } from '../core/perms.ts';
import { Check, Field, Select } from '../parts/field.tsx';
import { NodePicker, nodeNames } from '../parts/pickers.tsx';
import type { Wizard } from './create-wizard.ts';

const OS_NAMES: Readonly<Record<string, string>> = {
  l26: 'Linux', win11: 'Windows 11, Server 2022, 2025', win10: 'Windows 10, Server 2016, 2019', win8: 'Windows 8, Server 2012', win7: 'Windows 7, Server 2008 R2',
  l24: 'Linux 2.4', solaris: 'Solaris, illumos',
};

export const osName = (ostype: string): string => OS_NAMES[ostype] ?? t('create.os.other');

export function BasicsStep({ w }: { w: Wizard }) {
  const isOwn = w.d.source !== 'template';
  const mayWithout = can(`/vms/${w.d.vmid}`, 'VM.Allocate');
  const pools = [...(mayWithout ? [['', t('create.pool.none')] as const] : []), ...w.offer.pools.map((p) => [p, p] as const)];
  return (
    <>
      <div class="fields">
        <Field label={t('guest.name')} name="name" value={w.d.name} error={w.wrong('name')} onInput={(name) => change({ name })} help={t('create.name.help', { name: w.suggested })} />
        <Field label={t('guest.id')} name="vmid" inputmode="numeric" value={draft.value.vmid || w.d.vmid} error={w.wrong('vmid')} onInput={(vmid) => change({ vmid })} help={t('create.vmid.help')} />
        {nodeNames().length > 1 && <NodePicker label={t('guest.node')} value={w.d.node} onChange={(node) => change({ node })} />}
        {(pools.length > 1 || w.d.pool !== '') && <Select label={t('guest.pool')} value={w.d.pool} error={w.wrong('pool')} options={pools} onChange={(pool) => change({ pool })} />}
        {w.may('VM.Config.Options') && <Field label={t('guest.tags')} name="tags" value={w.d.tags} error={w.wrong('tags')} onInput={(tags) => change({ tags })} help={t('create.tags.help')} />}
        {isOwn && w.may('VM.Config.Options') && <Select label={t('key.ostype')} value={w.d.ostype} error={w.wrong('ostype')} onChange={(ostype) => change({ ostype })}
          options={[...Object.keys(OS_NAMES), 'other'].map((os) => [os, osName(os)] as const)} help={t('create.os.help')} />}
      </div>
      {!pools.length && w.wrong('pool') && <p class="field-error">{w.wrong('pool')}</p>}
      <div class="checks">
        {w.may('VM.PowerMgmt') && <Check label={t('create.start')} help={t('create.start.help')} value={w.d.isStarted} onChange={(isStarted) => change({ isStarted })} />}
        {w.may('VM.Config.Options') && <Check label={t('key.onboot')} value={w.d.onboot} onChange={(onboot) => change({ onboot })} />}
      </div>
    </>
  );
}
