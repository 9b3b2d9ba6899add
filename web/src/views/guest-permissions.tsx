// Who has which role on a guest: on itself, on its pool, and from above; the check tells what one may do with all that.
import { t } from '../core/i18n.ts';
import { user } from '../core/session.ts';
import type { Guest } from '../core/store.ts';
import { appliesTo } from '../core/acl.ts';
import { AclPanel } from './access-acl.tsx';
import { checkHref } from './access-effective.tsx';

export default function GuestPermissions({ guest }: { guest: Guest }) {
  const path = `/vms/${guest.vmid}`;
  return (
    <>
      <AclPanel path={path} also={(e) => appliesTo(e, guest.vmid, guest.pool)} />
      <p class="quiet">{t('access.acl.above')} <a href={checkHref(user.value, path)}>{t('access.check')}</a></p>
    </>
  );
}
