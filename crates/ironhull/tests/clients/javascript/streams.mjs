// Exec, attach, logs, copies and terminals.

import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { finished } from 'node:stream/promises';

import { config, core, done, k8s, namespace, run, Sink, until } from './common.mjs';

const exec = new k8s.Exec(config);

/** Runs a command to its end. */
async function execute(command, input = null, tty = false, output = new Sink()) {
    const errors = new Sink();
    const status = await new Promise((resolve, reject) => {
        exec.exec(namespace, 'box', 'c', command, output, errors, input, tty, resolve).catch(reject);
    });
    return { status, output: output.text, errors: errors.text };
}

await run('box', ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.1; done']);

// Output, errors and the code of a command.
const both = await execute(['sh', '-c', 'echo out; echo err >&2; exit 7']);
assert.equal(both.status.status, 'Failure');
assert.equal(both.status.details.causes[0].reason, 'ExitCode');
assert.equal(both.status.details.causes[0].message, '7');
assert.deepEqual([both.output, both.errors], ['out\n', 'err\n']);
const whole = await execute(['sh', '-c', "head -c 2000000 /dev/zero | tr '\\0' x"]);
assert.deepEqual([whole.status.status, whole.output.length], ['Success', 2_000_000]);

// Input, which ends where the protocol can say so.
const cat = await execute(['sh', '-c', 'read line; echo got $line'], Readable.from(['this\n']));
assert.deepEqual([cat.status.status, cat.output], ['Success', 'got this\n']);

// A terminal with a size, which changes.
class Screen extends Sink {
    rows = 40;
    columns = 120;
}
const screen = new Screen();
const keys = new PassThrough();
const session = execute(['sh', '-c', 'while read word; do stty size; [ $word != end ] || exit 3; done'], keys, true, screen);
await until('the first size', () => {
    keys.write('size\n');
    return screen.text.includes('40 120');
});
[screen.rows, screen.columns] = [30, 100];
screen.emit('resize');
await until('the second size', () => {
    keys.write('size\n');
    return screen.text.includes('30 100');
});
keys.write('end\n');
assert.equal((await session).status.details.causes[0].message, '3');

// Attaching to a container that reads.
await run('reader', ['sh', '-c', 'while read line; do echo got $line; done'], { stdin: true });
const attached = new Sink();
const words = new PassThrough();
const connection = await new k8s.Attach(config).attach(namespace, 'reader', 'c', attached, null, words, false);
words.write('one\n');
await attached.until('got one\n');
words.write('two\n');
await attached.until('got two\n');
connection.close();

// Logs as they are written.
const log = new k8s.Log(config);
const followed = new Sink();
await log.log(namespace, 'reader', 'c', followed, { follow: true, tailLines: 50, timestamps: false });
await followed.until('got one\ngot two\n');
const again = new PassThrough();
const second = await new k8s.Attach(config).attach(namespace, 'reader', 'c', new Sink(), null, again, false);
again.write('three\n');
await followed.until('got three\n');
second.close();
const text = await core.readNamespacedPodLog({ name: 'reader', namespace, tailLines: 1 });
assert.equal(text, 'got three\n');
// They end with the container.
const end = finished(followed);
await core.deleteNamespacedPod({ name: 'reader', namespace });
await end;

// Files, there and back.
const directory = await fs.mkdtemp(path.join(os.tmpdir(), 'copied-'));
const [here, back] = [path.join(directory, 'here'), path.join(directory, 'back')];
await fs.mkdir(path.join(here, 'part'), { recursive: true });
await fs.mkdir(back);
await fs.writeFile(path.join(here, 'part', 'file'), 'copied\n'.repeat(1000));
const cp = new k8s.Cp(config);
await execute(['mkdir', '-p', '/tmp/there']);
await cp.cpToPod(namespace, 'box', 'c', here, '/tmp/there');
await until('the copy in the pod', async () => (await execute(['cat', '/tmp/there/part/file'])).output.length === 7000);
await cp.cpFromPod(namespace, 'box', 'c', 'part', back, '/tmp/there');
const copied = path.join(back, 'part', 'file');
await until('the copy of the copy', async () => (await fs.readFile(copied, 'utf8').catch(() => '')).length === 7000);
await fs.rm(directory, { recursive: true });
done();
