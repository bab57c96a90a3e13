#!/bin/sh
# 2 La Pasarela Lenta.   ./scripts/slow_payments.sh 20|0 (segundos; 0 apaga). BASE_PORT elige la malla.
exec "${PYTHON:-python3}" "$(dirname "$0")/../dev.py" run chaos on slow-payments --seconds "${1:-20}"
