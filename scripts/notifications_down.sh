#!/bin/sh
# 5 El Correo Perdido.   ./scripts/notifications_down.sh true|false (sin argumento: true). BASE_PORT elige la malla.
case "${1:-true}" in true) word=on ;; false) word=off ;; *) echo "uso: $0 true|false" >&2; exit 2 ;; esac
exec "${PYTHON:-python3}" "$(dirname "$0")/../dev.py" run chaos "$word" notifications-down
