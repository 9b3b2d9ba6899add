// The browser's own <dialog>: it keeps the focus in, closes on Escape and gives the focus back.
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { ApiError } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { Button } from './button.tsx';
import { errorText, notify } from '../core/tasks.ts';
import { ErrorBox } from './error.tsx';
import { Field } from './field.tsx';

export function Dialog(p: { title: string; onClose: () => void; children: ComponentChildren; isWide?: boolean }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useLayoutEffect(() => { // an effect would come a frame late: keys would go to what is below
    const d = ref.current;
    if (!d || d.open)
      return;
    d.showModal();
    // Without a field that wants it, the browser gives the focus to the button that closes. A finger needs no keyboard yet.
    if (document.activeElement?.closest('header') && !matchMedia('(pointer: coarse)').matches)
      d.querySelector<HTMLElement>('form :is(input, select, textarea):not(:disabled, [type=hidden])')?.focus();
  }, []);
  return (
    <dialog ref={ref} class={p.isWide ? 'dialog wide' : 'dialog'} aria-labelledby={id} onClose={p.onClose}>
      <header class="row"><h2 id={id} class="grow">{p.title}</h2><Button tone="ghost" icon="close" label={t('close')} onClick={() => ref.current?.close()} /></header>
      {p.children}
    </dialog>
  );
}

interface FormProps {
  title: string;
  submit: string;
  isDanger?: boolean;
  isWide?: boolean;
  /** What the form assumes is known; until then it cannot be sent. */
  isReady?: boolean;
  /** Must be typed before the button works: for what cannot be undone. */
  typeName?: string;
  onSubmit: () => Promise<unknown>;
  onClose: () => void;
  children: (fields: Readonly<Record<string, string>>) => ComponentChildren;
}

/** A dialog with a form: what the server refuses is shown at the field, or above the buttons. */
export function FormDialog(p: FormProps) {
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const [typed, setTyped] = useState('');
  const isOpen = useRef(true); // it can be closed while the call is under way; what fails then is told in a note
  useLayoutEffect(() => () => { isOpen.current = false; }, []);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (isBusy || p.isReady === false)
      return;
    setBusy(true);
    setError(null);
    try {
      await p.onSubmit();
      if (isOpen.current)
        p.onClose();
    } catch (e) {
      if (!isOpen.current)
        notify({ tone: 'bad', text: t('note.failed', { what: p.title }), detail: errorText(e) });
      setError(e);
      setBusy(false);
    }
  };
  return (
    <Dialog title={p.title} onClose={p.onClose} isWide={p.isWide ?? false}>
      <form class="stack" onSubmit={(e) => void submit(e)}>
        {p.children(error instanceof ApiError ? error.fields : {})}
        {p.typeName && <Field label={t('confirm.type', { name: p.typeName })} value={typed} onInput={setTyped} hasFocus />}
        {error !== null && <ErrorBox error={error} />}
        <footer class="row dialog-foot">
          <Button onClick={p.onClose}>{t('cancel')}</Button>
          <Button type="submit" tone={p.isDanger ? 'danger' : 'main'} isBusy={isBusy} isDisabled={p.isReady === false || (p.typeName !== undefined && typed !== p.typeName)}>{p.submit}</Button>
        </footer>
      </form>
    </Dialog>
  );
}
