"""What to do when the client itself is what is slow, in words."""

from collections.abc import Iterator

from chaos.load.report import CPU_LIMIT, LAG_LIMIT_S, Client
from chaos.texts import Say


def advice(client: Client, say: Say) -> Iterator[str]:
    """One sentence for each reason why the client is a bottleneck."""
    for reason in client.reasons:
        yield {"cpu": _cpu, "lag": _lag, "room": _room}[reason](client, say)


def _cpu(client: Client, say: Say) -> str:
    taken, limit = f"{client.cpu_share:.0%}", f"{CPU_LIMIT:.0%}"
    if client.processes < client.cores:
        more = f"--processes {client.processes + 1}"
        what = say(f"pruebe {more}", f"try {more}")
    else:
        what = say("baje --rate, o use otra máquina", "lower --rate, or use another machine")
    return say(
        f"El cuello de botella es el cliente: gasta {taken} de un núcleo (límite {limit}); {what}.",
        f"The client is the bottleneck: it takes {taken} of a core (limit {limit}); {what}.",
    )


def _lag(client: Client, say: Say) -> str:
    lag, limit = f"{(client.lag_p99_s or 0) * 1000:.0f} ms", f"{LAG_LIMIT_S * 1000:.0f} ms"
    if "cpu" in client.reasons:
        return say(
            f"Sale tarde: retraso p99 {lag} (límite {limit}), que va dentro de las latencias.",
            f"It comes late: lag p99 {lag} (limit {limit}), which is part of the latencies.",
        )
    return say(
        f"El cliente sale tarde, retraso p99 {lag} (límite {limit}), sin gastar su núcleo: la máquina está ocupada "
        "con otros, la malla incluida. Las latencias lo incluyen; otra máquina para el cliente, o menos --rate "
        "(--processes no lo arregla).",
        f"The client comes late, lag p99 {lag} (limit {limit}), without using up its core: the machine is busy with "
        "others, the mesh included. The latencies include it; give the client a machine of its own, or lower --rate "
        "(--processes will not help).",
    )


def _room(client: Client, say: Say) -> str:
    return say(
        f"{client.not_sent} reservas no se enviaron: ya había {client.room} en vuelo o faltaban puertos. Su latencia "
        "no se conoce, y cuenta como más larga que cualquier otra; baje --rate.",
        f"{client.not_sent} reservations were not sent: {client.room} were in flight already, or ports ran out. Their "
        "latency is unknown, and counts as longer than any other; lower --rate.",
    )
