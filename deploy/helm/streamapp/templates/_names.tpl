{{- define "streamapp.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "streamapp.selector" -}}
app.kubernetes.io/name: streamapp
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: worker
{{- end }}

{{- define "streamapp.exporterSelector" -}}
app.kubernetes.io/name: streamapp
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: exporter
{{- end }}

{{- define "streamapp.labels" -}}
app.kubernetes.io/name: streamapp
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Values.image.tag | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "streamapp.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "streamapp.name" .) }}
{{- end }}
