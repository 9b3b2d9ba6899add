// A guest that goes for good: which of its volumes go with it, and its name has to be typed.
import { del, type Values } from '../core/api.ts';
import { guestPath } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import { go } from '../core/router.ts';
import type { Guest } from '../core/store.ts';
import { run } from '../core/tasks.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { PlanList, usePlan } from '../parts/plan.tsx';

const VALUES: Values = { purge: true };

export function DestroyDialog({ guest: g, onClose }: { guest: Guest; onClose: () => void }) {
  const path = guestPath(g);
  const plan = usePlan({ method: 'DELETE', path, values: VALUES });
  const destroy = async (): Promise<void> => {
    await run(() => del(path, VALUES));
    go('/guests');
  };
  return (
    <FormDialog title={t('destroy.title', { name: g.name })} submit={t('action.destroy')} isDanger typeName={g.name} onClose={onClose} onSubmit={destroy}>
      {() => <>
        <p>{t('destroy.text')}</p>
        <PlanList plan={plan} last={[t('destroy.last', { name: g.name, id: g.vmid })]} />
        <EqualCall method="DELETE" path={path} values={VALUES} command={`holm vm delete ${g.vmid} --purge -y`} />
      </>}
    </FormDialog>
  );
}
