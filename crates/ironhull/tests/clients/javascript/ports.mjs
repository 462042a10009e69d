// Ports of pods, Services and Deployments are forwarded to a local server.

import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';

import { apps, config, core, done, k8s, namespace, NGINX, pod, until } from './common.mjs';

const container = { image: NGINX, command: undefined, readinessProbe: { httpGet: { port: 80 }, periodSeconds: 1 } };
const { spec } = pod('web', undefined, container);
const template = { metadata: { labels: { app: 'web' } }, spec };
const selector = { app: 'web' };
await apps.createNamespacedDeployment({
    namespace,
    body: { metadata: { name: 'web' }, spec: { selector: { matchLabels: selector }, template } },
});
await core.createNamespacedService({
    namespace,
    body: { metadata: { name: 'web' }, spec: { selector, ports: [{ port: 80 }] } },
});
const found = await until('a pod that is ready', async () => {
    const pods = await core.listNamespacedPod({ namespace, labelSelector: 'app=web' });
    const isReady = (item) => item.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True');
    return pods.items.find(isReady);
});
const { name } = found.metadata;

/** The page behind a local port, each of whose connections is forwarded. */
async function page(forward) {
    const server = net.createServer((socket) => {
        socket.on('error', () => {});
        forward(socket).catch((error) => socket.destroy(error));
    });
    await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
    const { port } = server.address();
    const get = () =>
        new Promise((resolve, reject) => {
            const request = http.get({ port, host: '127.0.0.1', agent: false }, (response) => {
                const chunks = [];
                response.on('data', (chunk) => chunks.push(chunk));
                response.on('end', () => resolve(Buffer.concat(chunks).toString()));
            });
            request.on('error', reject);
        });
    const pages = [await get(), await get()];
    server.close();
    assert.equal(pages[0], pages[1]);
    return pages[0];
}

const forward = new k8s.PortForward(config);
const expected = `${name} version 1\n`;
assert.equal(await page((socket) => forward.portForward(namespace, name, [80], socket, null, socket)), expected);
assert.equal(await page((socket) => forward.portForwardService(namespace, 'web', [80], socket, null, socket)), expected);
assert.equal(await page((socket) => forward.portForwardDeployment(namespace, 'web', [80], socket, null, socket)), expected);
done();
