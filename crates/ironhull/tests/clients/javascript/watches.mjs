// Watches, informers with and without a selector, and a cache.

import assert from 'node:assert/strict';

import { config, core, done, k8s, namespace, until } from './common.mjs';

const path = `/api/v1/namespaces/${namespace}/configmaps`;
const map = (name, data, labels = {}) => ({ metadata: { name, labels }, data });
const create = (body) => core.createNamespacedConfigMap({ namespace, body });
const list = (labelSelector) => () => core.listNamespacedConfigMap({ namespace, labelSelector });

// A watch tells what happens, in order, until it is given up.
const version = (await list()()).metadata.resourceVersion;
const events = [];
let ended;
const watching = await new k8s.Watch(config).watch(
    path,
    { resourceVersion: version, allowWatchBookmarks: true, labelSelector: 'of=watch' },
    (type, object) => type === 'BOOKMARK' || events.push(`${type} ${object.metadata.name} ${object.data.key}`),
    (error) => (ended = error ?? 'ended'),
);
await create(map('one', { key: 'a' }, { of: 'watch' }));
await create(map('other', { key: 'a' }));
await core.replaceNamespacedConfigMap({ name: 'one', namespace, body: map('one', { key: 'b' }, { of: 'watch' }) });
await core.deleteNamespacedConfigMap({ name: 'one', namespace });
await until('three events', () => events.length === 3);
assert.deepEqual(events, ['ADDED one a', 'MODIFIED one b', 'DELETED one b']);
watching.abort();
await until('the end of the watch', () => ended);

// One from a version that there never was ends with an error.
let failed;
await new k8s.Watch(config).watch(path, { resourceVersion: 'x' }, () => {}, (error) => (failed = error));
await until('an error', () => failed);

/** An informer, and what it has told. */
async function informer(selector) {
    const told = [];
    const informer = k8s.makeInformer(config, path, list(selector), selector);
    for (const verb of ['add', 'update', 'delete']) {
        informer.on(verb, (object) => told.push(`${verb} ${object.metadata.name}`));
    }
    informer.on('error', (error) => told.push(`error ${error}`));
    await informer.start();
    return { informer, told };
}

await create(map('first', { key: 'a' }, { app: 'web' }));
const all = await informer();
const some = await informer('app=web');
await until('what there is', () => all.informer.get('first', namespace) && some.informer.get('first', namespace));
assert(all.informer.get('other', namespace) && !some.informer.get('other', namespace));
await create(map('second', { key: 'a' }, { app: 'web' }));
await until('what is new', () => some.informer.get('second', namespace));
await core.replaceNamespacedConfigMap({ name: 'second', namespace, body: map('second', { key: 'b' }, { app: 'web' }) });
await until('what is changed', () => some.informer.get('second', namespace)?.data.key === 'b');
// What leaves the selection is gone for one of them.
await core.replaceNamespacedConfigMap({ name: 'second', namespace, body: map('second', { key: 'b' }) });
await until('what left', () => !some.informer.get('second', namespace));
await core.deleteNamespacedConfigMap({ name: 'first', namespace });
await until('what was deleted', () => !all.informer.get('first', namespace) && !some.informer.get('first', namespace));
assert(all.informer.get('second', namespace));
assert.deepEqual(some.told, ['add first', 'add second', 'update second', 'delete second', 'delete first']);
await all.informer.stop();
await some.informer.stop();

// A cache over all namespaces.
const everywhere = () => core.listConfigMapForAllNamespaces();
const cache = new k8s.ListWatch('/api/v1/configmaps', new k8s.Watch(config), everywhere);
await until('the cache', () => (cache.list(namespace) ?? []).length > 0);
const names = cache.list(namespace).map((object) => object.metadata.name);
assert(names.includes('other') && names.includes('second'), names.join(' '));
await cache.stop();
done();
