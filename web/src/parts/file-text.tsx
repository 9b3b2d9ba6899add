// A text that can be pasted, or read from a file.
import { t } from '../core/i18n.ts';
import { TextArea } from './field.tsx';

export function FileText(p: { label: string; value: string; onInput: (value: string) => void; error?: string | undefined; help?: string; accept: string }) {
  const read = async (file: File | undefined): Promise<void> => {
    if (file)
      p.onInput(await file.text());
  };
  return (
    <div class="file-text code-field">
      <TextArea label={p.label} value={p.value} onInput={p.onInput} error={p.error} help={p.help} />
      <label class="button file-button"><input type="file" accept={p.accept} onChange={(e) => void read(e.currentTarget.files?.[0])} />{t('node.fromFile')}</label>
    </div>
  );
}
