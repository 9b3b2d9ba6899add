// Hardware and options of a guest: the list, the menu of what can be added, the dialog that the address names.
import { get } from '../core/api.ts';
import { configRows, current, wanted, type Page, type Pending } from '../core/config-keys.ts';
import { guestPath } from '../core/guests.ts';
import type { Values } from '../core/hardware.ts';
import { t } from '../core/i18n.ts';
import type { Guest } from '../core/store.ts';
import { outcome, tasksOf } from '../core/tasks.ts';
import { ErrorBox } from '../parts/error.tsx';
import { Waiting } from '../parts/loading.tsx';
import { useLoad } from '../parts/use.ts';
import { AddMenu } from './hw-add.tsx';
import { Dialogs } from './hw-dialogs.tsx';
import type { GuestConfig } from './hw-form.tsx';
import { closeDialog } from './hw-open.ts';
import { TaskProgress } from './hw-progress.tsx';
import { Rows, WaitingBar } from './hw-rows.tsx';

interface Loaded { pending: readonly Pending[]; digest: string }

async function load(path: string): Promise<Loaded> {
  const config = await get<{ digest: string }>(`${path}/config`); // first: a change between the two is found by its digest
  return { pending: await get<Pending[]>(`${path}/pending`), digest: config.digest };
}

/** Changes whenever the configuration may have: what the store tells of the guest, and each end of a task of it. */
export function versionOf(g: Guest): string {
  const ended = tasksOf(String(g.vmid)).filter((task) => outcome(task) !== 'running').length;
  return [g.status, g.lock ?? '', g.name, g.tags ?? '', g.maxcpu ?? 0, g.maxmem ?? 0, g.maxdisk ?? 0, g.template ?? 0, ended].join(' ');
}

export default function ConfigPage({ guest, page }: { guest: Guest; page: Page }) {
  const path = guestPath(guest);
  const { value, error, reload } = useLoad(path, versionOf(guest), () => load(path));
  if (error && !value)
    return <ErrorBox error={error} onRetry={reload} />;
  if (!value)
    return <Waiting />;
  const now: Values = current(value.pending);
  const config: GuestConfig = { guest, now, values: wanted(value.pending), digest: value.digest, onDone: reload, onClose: closeDialog };
  const rows = configRows(page, value.pending);
  return (
    <div class="hw">
      <div class="row wrap hw-head">
        <p class="grow quiet">{t(page === 'hardware' ? 'hw.intro' : 'hw.introOptions')}</p>
        <AddMenu config={config} page={page} />
      </div>
      <TaskProgress guest={guest} />
      <WaitingBar rows={rows} config={config} />
      <Rows rows={rows} config={config} />
      <Dialogs config={config} />
    </div>
  );
}
