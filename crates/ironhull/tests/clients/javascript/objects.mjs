// Objects of many kinds are created, read, changed in each way, scaled and deleted.

import assert from 'node:assert/strict';
import https from 'node:https';

import { apps, BUSYBOX, config, core, done, k8s, namespace, pod, refused, run, until } from './common.mjs';

// Namespaces.
const own = `${namespace}-own`;
await core.createNamespace({ body: { metadata: { name: own } } });
assert.equal((await core.readNamespace({ name: own })).metadata.name, own);
assert((await core.listNamespace()).items.some((item) => item.metadata.name === own));
await core.deleteNamespace({ name: own });
await until('the end of a namespace', async () => !(await core.listNamespace()).items.some((item) => item.metadata.name === own));
assert.equal(await refused(() => core.readNamespace({ name: own })), 404);

// Pods, by labels and in pages.
await run('box', ['sleep', '1000']);
const listed = await core.listNamespacedPod({ namespace, labelSelector: 'app=box', limit: 10 });
assert.deepEqual(
    listed.items.map((item) => item.metadata.name),
    ['box'],
);
assert(listed.items[0].metadata.creationTimestamp instanceof Date);
assert.equal(await refused(() => core.createNamespacedPod({ namespace, body: pod('box', ['true']) })), 409);

// Patches of each kind.
const patch = async (strategy, body) => {
    const options = k8s.setHeaderOptions('Content-Type', strategy);
    return (await core.patchNamespacedPod({ name: 'box', namespace, body }, options)).metadata.labels;
};
const operations = [{ op: 'replace', path: '/metadata/labels', value: { foo: 'bar' } }];
assert.deepEqual(await patch(k8s.PatchStrategy.JsonPatch, operations), { foo: 'bar' });
assert.deepEqual(await patch(k8s.PatchStrategy.MergePatch, { metadata: { labels: { foo: null, merged: 'x' } } }), {
    merged: 'x',
});
assert.deepEqual(await patch(k8s.PatchStrategy.StrategicMergePatch, { metadata: { labels: { more: 'y' } } }), {
    merged: 'x',
    more: 'y',
});

// A Deployment is scaled: by its own number, and by its scale.
const template = { metadata: { labels: { app: 'web' } }, spec: pod('web', ['sleep', '1000']).spec };
const spec = { replicas: 0, selector: { matchLabels: { app: 'web' } }, template };
await apps.createNamespacedDeployment({ namespace, body: { metadata: { name: 'web' }, spec } });
// Controllers write to it too: a replacement of what was read may be too old.
await until('a replacement', async () => {
    const deployment = await apps.readNamespacedDeployment({ name: 'web', namespace });
    deployment.spec.replicas = 2;
    try {
        return await apps.replaceNamespacedDeployment({ name: 'web', namespace, body: deployment });
    } catch (error) {
        assert.equal(error.code, 409);
        return false;
    }
});
const available = (count) => async () => {
    const found = await apps.readNamespacedDeploymentStatus({ name: 'web', namespace });
    return (found.status.availableReplicas ?? 0) === count;
};
await until('two pods', available(2));
const merge = k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch);
await apps.patchNamespacedDeploymentScale({ name: 'web', namespace, body: { spec: { replicas: 1 } } }, merge);
await until('one pod', available(1));
assert.equal((await apps.readNamespacedDeploymentScale({ name: 'web', namespace })).spec.replicas, 1);

// Kinds of other groups.
const hard = { 'requests.cpu': '1', pods: '10' };
await core.createNamespacedResourceQuota({ namespace, body: { metadata: { name: 'quota' }, spec: { hard } } });
const quotas = await core.listNamespacedResourceQuota({ namespace });
assert.deepEqual(quotas.items[0].spec.hard, hard);
const networking = config.makeApiClient(k8s.NetworkingV1Api);
const backend = { service: { name: 'web', port: { number: 80 } } };
const rules = [{ host: 'web.example.com', http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }];
const ingress = await networking.createNamespacedIngress({
    namespace,
    body: { metadata: { name: 'web', annotations: { a: 'b' } }, spec: { rules } },
});
assert.equal(ingress.spec.rules[0].http.paths[0].backend.service.port.number, 80);
const batch = config.makeApiClient(k8s.BatchV1Api);
const jobTemplate = {
    spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: BUSYBOX }] } } },
};
await batch.createNamespacedCronJob({
    namespace,
    body: { metadata: { name: 'nightly' }, spec: { schedule: '0 3 * * *', jobTemplate } },
});
const cronJob = await batch.readNamespacedCronJob({ name: 'nightly', namespace });
const job = await batch.createNamespacedJob({
    namespace,
    body: {
        metadata: { name: 'by-hand', annotations: { 'cronjob.kubernetes.io/instantiate': 'manual' } },
        spec: cronJob.spec.jobTemplate.spec,
    },
});
assert.equal(job.spec.template.spec.containers[0].image, BUSYBOX);

// Objects from YAML, whatever their kind.
const documents = k8s.loadAllYaml(`
apiVersion: v1
kind: ConfigMap
metadata: {name: from-yaml, namespace: ${namespace}}
data: {key: value}
---
apiVersion: v1
kind: Secret
metadata: {name: from-yaml, namespace: ${namespace}}
stringData: {key: secret}
`);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
for (const document of documents) {
    await objects.create(document);
    const read = await objects.read(document);
    assert.equal(read.kind, document.kind);
    read.metadata.labels = { read: 'yes' };
    assert.deepEqual((await objects.replace(read)).metadata.labels, { read: 'yes' });
    const { apiVersion, kind } = document;
    const change = { apiVersion, kind, metadata: { name: 'from-yaml', namespace, labels: { patched: 'yes' } } };
    assert.equal((await objects.patch(change)).metadata.labels.patched, 'yes');
    assert.equal((await objects.list(apiVersion, kind, namespace, undefined, undefined, undefined, undefined, 'patched=yes')).items.length, 1);
    await objects.delete(document);
    assert.equal(await refused(() => objects.read(document)), 404);
}
const token = k8s.loadYaml('apiVersion: v1\nkind: Namespace\nmetadata: {name: some-namespace}\n');
assert.equal(token.metadata.name, 'some-namespace');

// Server-side apply, by the option of the typed client.
const apply = (manager, data, force) => {
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' }, data };
    const how = k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.ServerSideApply);
    return core.patchNamespacedConfigMap({ name: 'applied', namespace, body, fieldManager: manager, force }, how);
};
const applied = await apply('first', { a: '1' });
assert.deepEqual(
    applied.metadata.managedFields.map((entry) => [entry.manager, entry.operation]),
    [['first', 'Apply']],
);
assert.equal(await refused(() => apply('second', { a: '2' })), 409);
assert.equal((await apply('second', { a: '2' }, true)).data.a, '2');

// A request without the client's types.
const options = { headers: {} };
await config.applyToHTTPSOptions(options);
const raw = await new Promise((resolve, reject) => {
    const url = `${config.getCurrentCluster().server}/api/v1/namespaces/${namespace}/pods`;
    https
        .get(url, options, (response) => {
            const chunks = [];
            response.on('data', (chunk) => chunks.push(chunk));
            response.on('end', () => resolve([response.statusCode, JSON.parse(Buffer.concat(chunks).toString())]));
        })
        .on('error', reject);
});
assert.equal(raw[0], 200);
assert.equal(raw[1].kind, 'PodList');
done();
