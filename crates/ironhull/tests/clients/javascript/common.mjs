// What all scripts share: a client, the namespace of the trial, and waiting.

import assert from 'node:assert/strict';
import { Writable } from 'node:stream';

// Modules are searched for beside a script, where the client is not.
export const k8s = await import(process.env.CLIENT_MODULE);
export const { NAMESPACE: namespace, BUSYBOX, NGINX } = process.env;

// No step takes longer unless it hangs.
const LIMIT_MS = 90_000;
// Nor does a script; one that waits for an event that does not come would never end.
setTimeout(() => {
    console.error('the script took too long');
    process.exit(1);
}, 2 * LIMIT_MS).unref();

export const config = new k8s.KubeConfig();
config.loadFromDefault();
export const core = config.makeApiClient(k8s.CoreV1Api);
export const apps = config.makeApiClient(k8s.AppsV1Api);

/** Waits for what cannot be watched; `look` returns something true in the end. */
export async function until(what, look) {
    const end = Date.now() + LIMIT_MS;
    for (;;) {
        const found = await look();
        if (found) {
            return found;
        }
        assert(Date.now() < end, `waited in vain for ${what}`);
        await new Promise((done) => setTimeout(done, 100));
    }
}

/** A pod with one container of busybox. */
export function pod(name, command, container = {}, spec = {}) {
    return {
        metadata: { name, labels: { app: name } },
        spec: {
            terminationGracePeriodSeconds: 0,
            containers: [{ name: 'c', image: BUSYBOX, command, ...container }],
            ...spec,
        },
    };
}

/** Creates a pod and waits until it is ready. */
export async function run(name, command, container = {}, spec = {}) {
    await core.createNamespacedPod({ namespace, body: pod(name, command, container, spec) });
    return until(`pod ${name}`, () => ready(name));
}

async function ready(name) {
    const found = await core.readNamespacedPod({ name, namespace });
    const conditions = found.status?.conditions ?? [];
    return conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True') && found;
}

/** A stream that keeps what is written to it. */
export class Sink extends Writable {
    chunks = [];

    _write(chunk, _encoding, done) {
        this.chunks.push(Buffer.from(chunk));
        done();
    }

    get text() {
        return Buffer.concat(this.chunks).toString();
    }

    /** Waits until it holds a text. */
    until(expected) {
        return until(JSON.stringify(expected), () => this.text.includes(expected));
    }
}

/** The code of a call that the server refuses. */
export async function refused(call) {
    try {
        await call();
    } catch (error) {
        assert(error instanceof k8s.ApiException, error);
        return error.code;
    }
    throw new Error('not refused');
}

/** Ends the script: connections may still be open. */
export function done() {
    process.exit(0);
}
