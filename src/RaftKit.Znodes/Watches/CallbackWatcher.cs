using RaftKit.Znodes.Sessions;

namespace RaftKit.Znodes.Watches;

/// <summary>A user's callback in one session. The same callback is the same watcher, in whatever modes it watches.</summary>
internal sealed class CallbackWatcher(LocalSession session, Action<WatchEvent> callback) : IWatcher, IEquatable<CallbackWatcher>
{
    private readonly LocalSession _session = session;
    private readonly Action<WatchEvent> _callback = callback;

    public object Owner => _session;

    public void Notify(in WatchEvent watchEvent) => _session.Outbox.Event(_callback, watchEvent);

    public bool Equals(CallbackWatcher? other) => other is not null && _session == other._session && _callback == other._callback;

    public override bool Equals(object? other) => Equals(other as CallbackWatcher);

    public override int GetHashCode() =>
        HashCode.Combine(System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(_session), _callback.GetHashCode());
}
