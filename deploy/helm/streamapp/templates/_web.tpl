{{- /* Whether Prometheus scrapes by itself what pods are annotated with. */ -}}
{{- define "streamapp.scrapeAnnotations" -}}
{{- if and .Values.metrics.annotations .Values.web.open (not .Values.metrics.podMonitor.enabled) }}
prometheus.io/scrape: "true"
prometheus.io/port: {{ .port | quote }}
prometheus.io/path: /metrics
{{- end }}
{{- end }}

{{- define "streamapp.webEnv" -}}
- {name: STREAMAPP_WEB_PORT, value: {{ .Values.web.port | quote }}}
{{- if .Values.web.open }}
- {name: STREAMAPP_WEB_HOST, value: {{ .Values.web.host | quote }}}
- {name: STREAMAPP_WEB_OPEN, value: "true"}
{{- end }}
{{- with .Values.web.token }}
{{- if .secret }}
- {name: STREAMAPP_WEB_TOKEN_FILE, value: /var/run/secrets/web/{{ .key }}}
{{- end }}
{{- end }}
{{- if and .Values.web.token.secret (not .Values.web.open) }}
{{- fail "web.token is for who comes from outside of the pod, and web.open is false: set it, or leave the token out" }}
{{- end }}
{{- end }}

{{- define "streamapp.webVolumes" -}}
{{- with .Values.web.token }}
{{- if .secret }}
- name: web
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items:
      - {key: {{ .key }}, path: {{ .key }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "streamapp.webMounts" -}}
{{- if .Values.web.token.secret }}
- {name: web, mountPath: /var/run/secrets/web, readOnly: true}
{{- end }}
{{- end }}

{{- /* What kubelet asks for; where the port is on 127.0.0.1 only, the pod asks itself. */ -}}
{{- define "streamapp.probe" -}}
{{- if .web.open }}
httpGet: {path: {{ .path }}, port: web}
{{- else }}
exec:
  command:
    - python
    - -c
    - from urllib.request import urlopen; urlopen("http://127.0.0.1:{{ .web.port }}{{ .path }}", timeout=4)
{{- end }}
timeoutSeconds: 5
{{- end }}
