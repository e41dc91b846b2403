{{- /* What a pod is, whatever runs in it. */ -}}
{{- define "streamapp.podSecurity" -}}
serviceAccountName: {{ include "streamapp.serviceAccount" . }}
automountServiceAccountToken: false
# Variables that Kubernetes makes of services begin as settings do.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "streamapp.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
# The last lines say why it has ended; exit codes: docs/reference/exit-codes.md.
terminationMessagePolicy: FallbackToLogsOnError
{{- end }}

{{- define "streamapp.mounts" -}}
- {name: state, mountPath: /var/lib/streamapp}
- {name: tmp, mountPath: /tmp}
{{- include "streamapp.kafkaMounts" . | nindent 0 }}
{{- end }}

{{- define "streamapp.volumes" -}}
- name: state
  emptyDir: {sizeLimit: {{ .Values.stateSize }}}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.temporarySize }}}
{{- include "streamapp.kafkaVolumes" . | nindent 0 }}
{{- end }}

{{- /* The template of a worker's pod. */ -}}
{{- define "streamapp.worker" -}}
metadata:
  labels:
    {{- include "streamapp.labels" . | nindent 4 }}
    app.kubernetes.io/component: worker
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    {{- include "streamapp.scrapeAnnotations" (dict "Values" .Values "port" .Values.web.port) | nindent 4 }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
    kubectl.kubernetes.io/default-container: streamapp
spec:
  {{- include "streamapp.podSecurity" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ add .Values.drainSeconds 30 }}
  containers:
    - name: streamapp
      {{- include "streamapp.container" . | nindent 6 }}
      args:
        - run
        - {{ .Values.pipeline | quote }}
        {{- range .Values.stages }}
        - --stage
        - {{ . | quote }}
        {{- end }}
        {{- if gt (int .Values.workers) 1 }}
        - --workers
        - {{ .Values.workers | quote }}
        {{- end }}
        - --drain-seconds
        - {{ .Values.drainSeconds | quote }}
        - --session-seconds
        - {{ get .Values.sessionSeconds .Values.kind | quote }}
        - --log-format
        - {{ .Values.logFormat }}
        - --log-level
        - {{ .Values.logLevel }}
        {{- range .Values.options }}
        - {{ . | quote }}
        {{- end }}
      env:
        {{- include "streamapp.kafkaEnv" . | nindent 8 }}
        {{- include "streamapp.webEnv" . | nindent 8 }}
        {{- if eq .Values.kind "StatefulSet" }}
        - name: STREAMAPP_WORKER_INSTANCE_ID
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- end }}
        {{- with .Values.env }}{{ toYaml . | nindent 8 }}{{ end }}
      ports:
        - {name: web, containerPort: {{ .Values.web.port }}}
      startupProbe:
        {{- include "streamapp.probe" (dict "web" .Values.web "path" "/livez") | nindent 8 }}
        periodSeconds: 5
        failureThreshold: 24
      livenessProbe:
        {{- include "streamapp.probe" (dict "web" .Values.web "path" "/livez") | nindent 8 }}
        periodSeconds: 20
        failureThreshold: 6
      readinessProbe:
        {{- include "streamapp.probe" (dict "web" .Values.web "path" "/readyz") | nindent 8 }}
        periodSeconds: 10
        failureThreshold: 3
      resources: {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        {{- include "streamapp.mounts" . | nindent 8 }}
        {{- include "streamapp.webMounts" . | nindent 8 }}
    {{- with .Values.extraContainers }}{{ toYaml . | nindent 4 }}{{ end }}
  volumes:
    {{- include "streamapp.volumes" . | nindent 4 }}
    {{- include "streamapp.webVolumes" . | nindent 4 }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "streamapp.selector" . | nindent 10 }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
