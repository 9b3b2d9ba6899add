// Signing in: name, password and realm; then, where one is set up, the second factor. What was to be seen stays in the
// address and is shown afterwards.
import { useEffect, useState } from 'preact/hooks';
import { ApiError } from '../core/api.ts';
import { t, type Key } from '../core/i18n.ts';
import { answer, outReason, realms, signIn, user, type Challenge, type Factor, type Realm } from '../core/session.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Field, Select } from '../parts/field.tsx';
import { Icon } from '../parts/icon.tsx';
import { PrefsMenu } from './prefs-menu.tsx';

const CHALLENGE_MS = 290_000; // the server takes it for 300 s

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="32" height="32" aria-hidden="true">
      <path d="M6 19c3-9 6-12 10-12s7 3 10 12z" fill="currentColor" /><path d="M3 23.5c4 2.5 9-2.5 13 0s9 2.5 13 0" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round" />
    </svg>
  );
}

function useRealms() {
  const [list, setList] = useState<Realm[]>([]);
  const [realm, setRealm] = useState('');
  useEffect(() => {
    realms().then((all) => {
      setList(all);
      const old = user.peek().split('@')[1];
      setRealm(old || all.find((r) => r.default)?.realm || all.find((r) => r.realm === 'pam')?.realm || all[0]?.realm || '');
    }).catch(() => setList([])); // "name@realm" can still be typed
  }, []);
  return { list, realm, setRealm };
}

/** Sends a form, keeps what went wrong, and counts down where the server asked to wait. */
function useAttempt(wrong: Key) {
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const [until, setUntil] = useState(0);
  const [left, setLeft] = useState(0);
  useEffect(() => {
    if (!until)
      return undefined;
    const look = (): void => {
      const seconds = Math.ceil((until - Date.now()) / 1000);
      setLeft(Math.max(0, seconds));
      if (seconds <= 0)
        setUntil(0);
    };
    look();
    const timer = setInterval(look, 500);
    return () => clearInterval(timer);
  }, [until]);
  const attempt = async (what: () => Promise<unknown>): Promise<void> => {
    if (isBusy || until)
      return;
    setBusy(true);
    setError(null);
    try {
      await what();
    } catch (e) {
      if (e instanceof ApiError && e.status === 429 && e.retryAfter > 0)
        setUntil(Date.now() + e.retryAfter * 1000);
      else
        setError(e instanceof ApiError && e.status === 401 ? new Error(t(wrong)) : e);
      setBusy(false);
    }
  };
  const message = until > 0 ? <Wait seconds={left} /> : error !== null && <ErrorBox error={error} />;
  return { attempt, isBusy, isWaiting: until > 0, message, fail: setError };
}

function Wait({ seconds }: { seconds: number }) {
  return (
    <div class="error-box" role="alert">
      <Icon name="warn" /><div class="grow"><p>{t('signin.tooMany')}</p><p class="num" aria-hidden="true">{t('signin.wait', { n: seconds })}</p></div>
    </div>
  );
}

const LABELS: Readonly<Record<Factor, { help: Key; label: Key; use: Key }>> = {
  totp: { help: 'signin.totpHelp', label: 'signin.totp', use: 'signin.useTotp' },
  recovery: { help: 'signin.recoveryHelp', label: 'signin.recovery', use: 'signin.useRecovery' },
};

function SecondFactor({ question, onBack }: { question: Challenge; onBack: () => void }) {
  const [kind, setKind] = useState<Factor>(question.factors[0] ?? 'totp');
  const [code, setCode] = useState('');
  const { attempt, isBusy, isWaiting, message, fail } = useAttempt('signin.codeWrong');
  const others = question.factors.filter((f) => f !== kind);
  useEffect(() => {
    const timer = setTimeout(() => fail(new Error(t('signin.tooLate'))), CHALLENGE_MS - (Date.now() - question.askedAt));
    return () => clearTimeout(timer);
  }, [question]);
  const submit = (event: Event): void => {
    event.preventDefault();
    void attempt(() => answer(question, kind, code.replaceAll(' ', '').trim()));
  };
  return (
    <form class="stack" onSubmit={submit}>
      <p>{t(LABELS[kind].help)}</p>
      <Field key={kind} label={t(LABELS[kind].label)} name="code" value={code} onInput={setCode} autocomplete="one-time-code"
        inputmode={kind === 'totp' ? 'numeric' : 'text'} isRequired hasFocus />
      {message}
      <Button type="submit" tone="main" isBusy={isBusy} isDisabled={isWaiting}>{t('signin.submit')}</Button>
      <div class="row wrap">
        <Button tone="ghost" onClick={onBack}>{t('back')}</Button>
        {others.map((f) => <Button key={f} tone="ghost" onClick={() => { setKind(f); setCode(''); fail(null); }}>{t(LABELS[f].use)}</Button>)}
      </div>
    </form>
  );
}

function PasswordField(p: { value: string; onInput: (value: string) => void; hasFocus: boolean }) {
  const [isShown, setShown] = useState(false);
  const [hasCaps, setCaps] = useState(false);
  const look = (e: KeyboardEvent): void => { setCaps(e.getModifierState('CapsLock')); };
  return (
    <div class="password" onKeyDown={look} onKeyUp={look}>
      <Field label={t('signin.password')} name="password" type={isShown ? 'text' : 'password'} value={p.value} onInput={p.onInput} autocomplete="current-password"
        isRequired hasFocus={p.hasFocus} {...(hasCaps ? { help: t('signin.caps') } : {})} />
      <Button tone="ghost" icon="eye" label={isShown ? t('signin.hide') : t('signin.show')} isPressed={isShown} onClick={() => setShown(!isShown)} />
    </div>
  );
}

function Password({ onQuestion }: { onQuestion: (question: Challenge) => void }) {
  const { list, realm, setRealm } = useRealms();
  const [name, setName] = useState(user.peek().split('@')[0] ?? '');
  const [password, setPassword] = useState('');
  const { attempt, isBusy, isWaiting, message } = useAttempt('signin.wrong');
  const submit = (event: Event): void => {
    event.preventDefault();
    void attempt(async () => {
      const question = await signIn(name.includes('@') ? name : `${name}@${realm}`, password);
      if (question)
        onQuestion(question);
    });
  };
  return (
    <form class="stack" onSubmit={submit}>
      <Field label={t('signin.name')} name="username" value={name} onInput={setName} autocomplete="username" isRequired hasFocus={!name} />
      <PasswordField value={password} onInput={setPassword} hasFocus={!!name} />
      {list.length > 1 && !name.includes('@') && <Select label={t('signin.realm')} value={realm} onChange={setRealm} options={list.map((r) => [r.realm, r.comment ? `${r.realm}: ${r.comment}` : r.realm] as const)} />}
      {message}
      <Button type="submit" tone="main" isBusy={isBusy} isDisabled={isWaiting}>{t('signin.submit')}</Button>
    </form>
  );
}

export function SignIn() {
  const [question, setQuestion] = useState<Challenge | null>(null);
  return (
    <main class="signin">
      <section class="signin-card">
        <header class="signin-head"><Mark /><h1>Holm</h1></header>
        {outReason.value === 'expired' && <p class="quiet">{t('signin.expired')}</p>}
        {outReason.value === 'password' && <p class="quiet">{t('signin.newPassword')}</p>}
        {question ? <SecondFactor question={question} onBack={() => setQuestion(null)} /> : <Password onQuestion={setQuestion} />}
      </section>
      <footer><PrefsMenu /></footer>
    </main>
  );
}
