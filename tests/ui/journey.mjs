/* A day with the page in the hands of playwright-core, which finds everything as people with a screen reader do: by its role
 * and its name, and presses only what can be seen and stands still. Run by test_ui_journey.py.
 *
 *   node journey.mjs '{"modules":FOLDER,"cdp":URL,"base":URL,"password":P,"slow":N,"picture":SCRIPT}'
 *
 * What it needs of the test is asked for by a line of JSON on stdout and answered by one on stdin: {"read":PICTURE} for what
 * the screen of a guest says, {"stop":1} and {"start":1} for the daemon. Ends with 0 when all of it went as it should. */
import assert from 'node:assert/strict';
import process from 'node:process';
import readline from 'node:readline';

const config = JSON.parse(process.argv[2]);
const { chromium } = (await import(`${config.modules}/playwright-core/index.js`)).default;
const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function ask(question) {
  process.stdout.write(`${JSON.stringify(question)}\n`);
  return JSON.parse((await answers.next()).value);
}

const browser = await chromium.connectOverCDP(config.cdp);

async function open(user) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB' });
  context.setDefaultTimeout(30000 * config.slow);
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (e) => complaints.push(String(e)));
  await page.goto(config.base);
  await page.getByLabel('User name').fill(`${user}@pve`);
  await page.getByLabel('Password', { exact: true }).fill(config.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  return { page, complaints, context };
}

const { page, complaints, context } = await open('admin');
const button = (name, within = page) => within.getByRole('button', { name });
const link = (name, within = page) => within.getByRole('link', { name });
const main = page.getByRole('navigation', { name: 'Main' });
const tab = (name) => link(name, page.getByRole('navigation', { name: 'greeter' }));
const dialog = page.getByRole('dialog');
const row = (name) => page.getByRole('row').filter({ has: link(name) });
const at = (path) => page.waitForURL(config.base + path);

async function newGuest(source, file, name) {
  await link('Guests', main).click();
  await button('New guest').first().click();
  await page.getByRole('radio', { name: source }).check();
  await page.getByRole('radio', { name: file }).check();
  await button('Next').click();
  await page.getByRole('textbox', { name: 'Name' }).fill(name);
  await button('Review').click();
  await page.getByRole('listitem').filter({ hasText: `Make the guest ${name}` }).waitFor();
  await button('Create').click();
}

async function menu(item) {
  await button('More actions').click();
  await button(item).click();
}

/** The screen says so, and does not say the other thing any more, in letters of the guest's own font. */
async function screenSays(words, no = '\0') {
  const end = Date.now() + 30000 * config.slow;
  for (;;) {
    const said = (await ask({ read: await page.evaluate(config.picture) })).text;
    if (said.includes(words) && !said.includes(no))
      return;
    assert.ok(Date.now() < end, `${words} is not on the screen, or ${no} is: ${said.trim()}`);
    await page.waitForTimeout(200);
  }
}

async function terminalSays(words) {
  await page.locator('.xterm-rows').filter({ hasText: words }).waitFor();
}

async function twoGuestsAndTheirConsoles() {
  await page.getByRole('heading', { name: 'Welcome' }).waitFor();
  await newGuest('Linux kernel', /vmlinuz/, 'first');
  await at('/guests/100/console');
  await terminalSays('login:');
  await page.locator('.console-surface').click();
  await page.keyboard.type('root\n');
  await terminalSays('# ');
  await page.keyboard.type('echo sum=$((40+2))\n');
  await terminalSays('sum=42');
  await newGuest('Cloud image', /greeter/, 'greeter');
  await at('/guests/101/console');
  await screenSays('The screen is up.');
  await page.locator('.console-surface').click();
  await page.keyboard.press('w');
  await screenSays('key w');
}

async function snapshotAndBack() {
  await tab('Snapshots').click();
  await button('Take snapshot').click();
  await dialog.getByRole('textbox', { name: 'Name' }).fill('fresh');
  await dialog.getByRole('checkbox', { name: 'With memory' }).check();
  await button('Take snapshot', dialog).click();
  await dialog.waitFor({ state: 'hidden' });
  await tab('Console').click();
  await screenSays('key w');
  await page.locator('.console-surface').click();
  await page.keyboard.press('x');
  await screenSays('key x');
  await tab('Snapshots').click();
  await button('Roll back to fresh').click();
  await dialog.getByText('What will be done').click();
  await dialog.getByRole('listitem').filter({ hasText: /Put local:.* back to its layer/ }).waitFor();
  await button('Roll back', dialog).click();
  await dialog.waitFor({ state: 'hidden' });
  await tab('Console').click();
  await screenSays('key w', 'key x');
}

async function cloneStopAndDestroy() {
  await menu(/^Clone/);
  await dialog.getByRole('textbox', { name: 'Name' }).fill('copy');
  await dialog.getByRole('listitem').filter({ hasText: 'Make the guest copy' }).waitFor();
  await button('Clone', dialog).click();
  await at('/guests/102');
  await link('Guests', main).click();
  await row('copy').waitFor();
  await page.getByRole('checkbox', { name: 'Select all' }).check();
  await button('Stop now', page.getByRole('region', { name: 'Selected guests' })).click();
  await button('Go ahead with 2', dialog).click();
  await dialog.getByRole('status').filter({ hasText: '2 of 3 done' }).waitFor();
  await button('Close', dialog).last().click();
  for (const [vmid, name] of [[100, 'first'], [101, 'greeter'], [102, 'copy']]) {
    await link(name, row(name)).click();
    await at(`/guests/${vmid}`);
    await menu('Destroy');
    await dialog.getByRole('listitem').filter({ hasText: `Delete the guest ${name}` }).waitFor();
    assert.ok(await button('Destroy', dialog).isDisabled());
    await dialog.getByRole('textbox', { name: `Type ${name} to confirm` }).fill(name);
    await button('Destroy', dialog).click();
    await at('/guests');
    await row(name).waitFor({ state: 'detached' });
  }
}

/** Nothing that changes anything is offered, and the server would not do it either. */
async function refusedAsAuditor() {
  const other = await open('auditor');
  await link('Guests', other.page.getByRole('navigation', { name: 'Main' })).click();
  await link('first', other.page.getByRole('row')).click();
  await other.page.getByRole('heading', { name: /first/ }).waitFor();
  for (const name of ['More actions', 'Stop now', 'Shut down', 'Start', 'New guest'])
    assert.equal(await other.page.getByRole('button', { name, exact: true }).count(), 0, name);
  assert.equal(await link('Console', other.page).count(), 0);
  const token = await other.page.evaluate(() => JSON.parse(localStorage.getItem('holm.session') ?? '{}').csrf ?? '');
  const reply = await other.page.evaluate(async (csrf) => {
    const r = await fetch('/api2/json/nodes/n1/qemu/100/status/stop', { method: 'POST', headers: { CSRFPreventionToken: csrf } });
    return [r.status, await r.text()];
  }, token);
  assert.equal(reply[0], 403, reply.join());
  assert.deepEqual(other.complaints, []);
  await other.context.close();
}

async function lostAndRegained() {
  await link('Guests', main).click();
  await row('first').waitFor();
  const kept = await page.evaluate(() => { window.isKept = true; return true; });
  await ask({ stop: 1 });
  await page.getByRole('status').filter({ hasText: 'No connection' }).waitFor();
  await ask({ start: 1 });
  await page.getByRole('status').filter({ hasText: 'No connection' }).waitFor({ state: 'hidden' });
  await ask({ rename: [100, 'renamed'] });
  await row('renamed').waitFor();
  await ask({ rename: [100, 'first'] });
  await row('first').waitFor();
  assert.equal(await page.evaluate(() => window.isKept), kept, 'without a reload');
}

async function destroyedInTheEnd() {
  await link('greeter', row('greeter')).click();
  await cloneStopAndDestroy();
  assert.deepEqual(complaints, []);
}

for (const part of [twoGuestsAndTheirConsoles, snapshotAndBack, refusedAsAuditor, lostAndRegained, destroyedInTheEnd])
  try {
    await part();
  } catch (e) {
    // What was waited for goes first: a list of failures shows one line of it.
    const [focus, seen] = await page.evaluate(() => [document.activeElement?.outerHTML.slice(0, 200), document.body.innerText]);
    process.stderr.write(`${part.name}: ${String(e.message).replace(/\s+/g, ' ')}\n${e.stack}\nat ${page.url()}, the focus on ${focus}:\n${seen}\n`);
    process.exit(1);
  }
await context.close();
await browser.close();
process.exit(0);
