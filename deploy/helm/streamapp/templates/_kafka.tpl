{{- /* The settings of the connection: secrets are files, everything else is a variable. */ -}}
{{- define "streamapp.kafkaEnv" -}}
{{- $kafka := .Values.kafka }}
- {name: STREAMAPP_KAFKA_BOOTSTRAP_SERVERS, value: {{ $kafka.bootstrapServers | quote }}}
- {name: STREAMAPP_KAFKA_SECURITY_PROTOCOL, value: {{ $kafka.securityProtocol }}}
{{- if hasPrefix "SASL_" $kafka.securityProtocol }}
- {name: STREAMAPP_KAFKA_SASL_MECHANISM, value: {{ required "kafka.saslMechanism is needed by SASL" $kafka.saslMechanism }}}
{{- if and (eq $kafka.saslMechanism "OAUTHBEARER") $kafka.oauth.audience }}
- {name: STREAMAPP_KAFKA_OAUTH_TOKEN_FILE, value: /var/run/secrets/kafka-token/token}
{{- else }}
{{- $oauth := eq $kafka.saslMechanism "OAUTHBEARER" }}
{{- if $oauth }}
- {name: STREAMAPP_KAFKA_OAUTH_TOKEN_URL, value: {{ required "kafka.oauth.tokenUrl or kafka.oauth.audience is needed by OAUTHBEARER" $kafka.oauth.tokenUrl | quote }}}
{{- with $kafka.oauth.scope }}
- {name: STREAMAPP_KAFKA_OAUTH_SCOPE, value: {{ . | quote }}}
{{- end }}
{{- end }}
- name: STREAMAPP_KAFKA_{{ $oauth | ternary "OAUTH_CLIENT_ID" "USERNAME" }}
  valueFrom:
    secretKeyRef:
      name: {{ required "kafka.secret.name is needed by SASL" $kafka.secret.name }}
      key: {{ $kafka.secret.usernameKey }}
- {name: STREAMAPP_KAFKA_{{ $oauth | ternary "OAUTH_CLIENT_SECRET" "PASSWORD" }}_FILE, value: /var/run/secrets/kafka/{{ $kafka.secret.passwordKey }}}
{{- end }}
{{- end }}
{{- if hasSuffix "SSL" $kafka.securityProtocol }}
{{- with $kafka.secret.caKey }}
- {name: STREAMAPP_KAFKA_SSL_CAFILE, value: /var/run/secrets/kafka/{{ . }}}
{{- end }}
{{- with $kafka.secret.certKey }}
- {name: STREAMAPP_KAFKA_SSL_CERTFILE, value: /var/run/secrets/kafka/{{ . }}}
{{- end }}
{{- with $kafka.secret.keyKey }}
- {name: STREAMAPP_KAFKA_SSL_KEYFILE, value: /var/run/secrets/kafka/{{ . }}}
{{- end }}
{{- end }}
{{- end }}

{{- /* The keys of the secret that become files, as a JSON list. */ -}}
{{- define "streamapp.secretKeys" -}}
{{- $kafka := .Values.kafka }}
{{- $keys := list }}
{{- if hasPrefix "SASL_" $kafka.securityProtocol }}
{{- if not (and (eq $kafka.saslMechanism "OAUTHBEARER") $kafka.oauth.audience) }}
{{- $keys = append $keys $kafka.secret.passwordKey }}
{{- end }}
{{- end }}
{{- if hasSuffix "SSL" $kafka.securityProtocol }}
{{- $keys = concat $keys (list $kafka.secret.caKey $kafka.secret.certKey $kafka.secret.keyKey) }}
{{- end }}
{{- compact $keys | toJson }}
{{- end }}

{{- define "streamapp.kafkaVolumes" -}}
{{- $keys := include "streamapp.secretKeys" . | fromJsonArray }}
{{- if $keys }}
- name: kafka
  secret:
    secretName: {{ required "kafka.secret.name is needed" .Values.kafka.secret.name }}
    defaultMode: 0440
    items:
      {{- range $keys }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end }}
{{- if .Values.kafka.oauth.audience }}
- name: kafka-token
  projected:
    sources:
      - serviceAccountToken:
          audience: {{ .Values.kafka.oauth.audience | quote }}
          expirationSeconds: {{ .Values.kafka.oauth.tokenSeconds }}
          path: token
{{- end }}
{{- end }}

{{- define "streamapp.kafkaMounts" -}}
{{- if include "streamapp.secretKeys" . | fromJsonArray }}
- {name: kafka, mountPath: /var/run/secrets/kafka, readOnly: true}
{{- end }}
{{- if .Values.kafka.oauth.audience }}
- {name: kafka-token, mountPath: /var/run/secrets/kafka-token, readOnly: true}
{{- end }}
{{- end }}
