import test from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { taskTitle } from '../src/core/tasks.ts';
import { fill, preferred, pseudo, setLanguage, t } from '../src/core/i18n.ts';

const LANGS = ['de', 'fr', 'zh'];
const AREAS = readdirSync('src/locale/en').map((f) => f.replace('.json', ''));
const textsOf = (lang: string, area: string): Record<string, string> =>
  JSON.parse(readFileSync(`src/locale/${lang}/${area}.json`, 'utf8')) as Record<string, string>;
const en: Record<string, string> = Object.assign({}, ...AREAS.map((a) => textsOf('en', a)));
const names = (text: string): string[] => [...new Set([...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1] ?? ''))].sort();

test('each language has every text, with the same parameters, and no other', () => {
  for (const lang of LANGS) {
    assert.deepEqual(readdirSync(`src/locale/${lang}`), readdirSync('src/locale/en'), lang);
    for (const area of AREAS) {
      const texts = textsOf(lang, area), english = textsOf('en', area);
      assert.deepEqual(Object.keys(texts).sort(), Object.keys(english).sort(), `${lang} ${area}`);
      for (const [key, text] of Object.entries(english)) {
        assert.ok(texts[key]?.trim(), `${lang} ${key}`);
        assert.deepEqual(names(texts[key] ?? ''), names(text), `${lang} ${key}`);
      }
    }
  }
});

test('no text has the name of another area\'s', () => {
  const all = AREAS.flatMap((a) => Object.keys(textsOf('en', a)));
  assert.deepEqual(all.filter((key, i) => all.indexOf(key) !== i), []);
});

function sources(folder: string): string {
  return readdirSync(folder, { withFileTypes: true, recursive: true }).filter((e) => /\.tsx?$/.test(e.name))
    .map((e) => readFileSync(join(e.parentPath, e.name), 'utf8')).join('\n');
}

test('no text is left that nothing shows', () => {
  const code = sources('src');
  const built = ['state.']; // put together at their place
  const unused = Object.keys(en).filter((key) => !code.includes(`'${key}'`) && !built.some((b) => key.startsWith(b)));
  assert.deepEqual(unused, []);
});

test('numbers choose the form of their language', () => {
  assert.equal(fill('{n} guest|{n} guests', { n: 1 }, 'en'), '1 guest');
  assert.equal(fill('{n} guest|{n} guests', { n: 0 }, 'en'), '0 guests');
  assert.equal(fill('{n} invité|{n} invités', { n: 0 }, 'fr'), '0 invité');
  assert.equal(fill('{n} 台', { n: 1200 }, 'zh'), '1,200 台');
  assert.equal(fill('{n} Gast|{n} Gäste', { n: 12000 }, 'de'), '12.000 Gäste');
});

test('a parameter that is missing stays visible, and what a parameter holds is not filled again', () => {
  assert.equal(fill('a {b} {c}', { b: '{c}' }, 'en'), 'a {c} {c}');
});

test('the pseudo-language changes every text and keeps its parameters', async () => {
  for (const [key, text] of Object.entries(en)) {
    const p = pseudo(text);
    assert.ok(p.startsWith('[') && p.endsWith(']') && p.length > text.length, key);
    assert.deepEqual(names(p), names(text), key);
  }
  await setLanguage('xx');
  assert.match(t('bulk.title', { n: 2 }), /^\[2 gúésts~+\]$/);
  await setLanguage('de');
  assert.equal(t('nav.guests'), 'Gäste');
  await setLanguage('en');
  assert.equal(t('nav.guests'), 'Guests');
});

test('the first language that is asked for and there is', () => {
  assert.equal(preferred(['nl', 'de-AT', 'en']), 'de');
  assert.equal(preferred(['zh-Hant']), 'zh');
  assert.equal(preferred(['nl']), 'en');
});

/** A file and what it imports when it is loaded: not what comes later. */
function closure(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file))
    return seen;
  seen.add(file);
  for (const m of readFileSync(file, 'utf8').matchAll(/^(?:import|export) (?!type\b)[^;]*?from '(\.[^']+)';/gms)) {
    const next = join(file, '..', m[1] ?? '');
    if (/\.tsx?$/.test(next))
      closure(next, seen);
  }
  return seen;
}

test('what is shown with an area uses texts of that area and of core', () => {
  const areaOf = new Map(AREAS.flatMap((a) => Object.keys(textsOf('en', a)).map((key) => [key, a] as const)));
  const wrong: string[] = [];
  const check = (start: string, area: string): void => {
    for (const file of closure(start))
      for (const m of readFileSync(file, 'utf8').matchAll(/'([a-z]+(?:\.\w+)+)'/g)) {
        const of = areaOf.get(m[1] ?? '');
        if (of !== undefined && of !== 'core' && of !== area)
          wrong.push(`${start} (${area}): ${file} uses ${m[1]} of ${of}`);
      }
  };
  check('src/main.tsx', 'core');
  let n = 0;
  for (const file of readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((f) => /\.tsx?$/.test(f)))
    for (const m of readFileSync(join('src', file), 'utf8').matchAll(/lazy\w*(?:<[^>]*>)?\('(\w+)', (?:async )?\(\) => import\('(\.[^']+)'\)/g)) {
      check(join('src', file, '..', m[2] ?? ''), m[1] ?? '');
      n++;
    }
  assert.ok(n > 10, String(n));
  assert.deepEqual([...new Set(wrong)], []);
});

test('each type of task that the server starts has a title', () => {
  const found = new Set<string>();
  for (const folder of ['api', 'guest', 'network'])
    for (const file of readdirSync(`../src/${folder}`).filter((f) => f.endsWith('.c') && !f.endsWith('_test.c')))
      for (const line of readFileSync(`../src/${folder}/${file}`, 'utf8').matchAll(/\b(?:task_spec|guest_bulk|op_kind)\b[^;]*;|"(?:qm|srv)[a-z]+"/g))
        for (const m of line[0].matchAll(/\.type = "([a-z]+)"|"((?:qm|srv)[a-z]+)"/g))
          found.add(m[1] ?? m[2] ?? '');
  for (const word of ['qmpstatus', 'qmeventd', 'qmrestore'])
    found.delete(word); // no tasks
  assert.ok(found.size > 25, [...found].join());
  assert.deepEqual([...found].filter((type) => taskTitle(type, '7') === `${type} 7`), []);
});
