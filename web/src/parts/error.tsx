import { ApiError } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { errorText } from '../core/tasks.ts';
import { Button } from './button.tsx';
import { Icon } from './icon.tsx';

/** What went wrong: the cause, the code, what the server says of single values, and what may help. */
export function ErrorBox({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const api = error instanceof ApiError ? error : null;
  return (
    <div class="error-box" role="alert">
      <Icon name="warn" />
      <div class="grow">
        <p>{errorText(error)}</p>
        {api && Object.entries(api.fields).map(([name, text]) => <p key={name}><code>{name}</code>: {text}</p>)}
        {api?.hint && <p class="quiet">{api.hint}</p>}
        {api && api.status > 0 && <p class="quiet num">{t('error.code', { code: api.code || String(api.status) })}</p>}
      </div>
      {onRetry && <Button icon="reload" onClick={onRetry}>{t('retry')}</Button>}
    </div>
  );
}
