using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using Microsoft.Extensions.Logging;
using RaftKit.Consensus;
using RaftKit.Node.Loop;

namespace RaftKit.Node.Transport;

/// <summary>
/// Links with the other members over TCP: one a pair, kept up by both sides. <see cref="Start"/> it, then say who listens where
/// (<see cref="SetPeers"/>) and who we are (<see cref="SetHello"/>): handshakes wait for both.
/// </summary>
internal sealed class TcpTransport : ITransport, IAsyncDisposable
{
    private static readonly TimeSpan RefusalLogPause = TimeSpan.FromSeconds(10);

    private readonly TransportContext _context;
    private readonly Peer?[] _peers = new Peer?[MemberId.GreatestObserver + 1];
    private readonly Lock _gate = new();
    private readonly List<PeerLink> _dirty = [];
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SemaphoreSlim _handshakes;
    private IReadOnlyDictionary<MemberId, string>? _endpoints;
    private Socket? _listener;
    private string? _endpoint;
    private bool _hasHello;
    private (string Reason, TimeSpan At) _lastRefusal = ("", default);

    public TcpTransport(TcpTransportOptions options, INodeInbox inbox, TimeProvider time, ILogger logger)
    {
        _context = new TransportContext(options, inbox, time, logger);
        _handshakes = new SemaphoreSlim(options.MaxHandshakes);
    }

    public TransportCounters Counters => _context.Counters;

    /// <summary>Where this member really listens: the port is known after <see cref="Start"/>.</summary>
    public string Endpoint => _endpoint ?? throw new InvalidOperationException("The transport listens only once it is started.");

    /// <summary>Listens.</summary>
    /// <exception cref="InvalidOperationException">It would listen off loopback in plain text, which nobody allowed.</exception>
    /// <exception cref="SocketException">The address is in use, or not this machine's.</exception>
    public void Start()
    {
        var options = _context.Options;
        if (options.Listen.Length == 0)
        {
            _endpoint = "";
            return;
        }
        var endpoint = NetworkAddress.Parse(options.Listen).ToListenEndPoint();
        if (options.Security is null && !options.AllowPlainText && !IPAddress.IsLoopback(endpoint.Address))
        {
            throw new InvalidOperationException(
                $"Listening for members on {options.Listen} without TLS would let anybody on that network read and change the cluster. "
                + $"Configure {nameof(TcpTransportOptions.Security)}, listen on a loopback address, "
                + $"or set {nameof(TcpTransportOptions.AllowPlainText)} = true to accept that.");
        }

        var listener = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (endpoint.Address.Equals(IPAddress.IPv6Any))
                listener.DualMode = true;
            listener.Bind(endpoint);
            listener.Listen(128);
        }
        catch (SocketException failure)
        {
            listener.Dispose();
            var mend = failure.SocketErrorCode switch
            {
                SocketError.AddressAlreadyInUse => "Another process listens there: stop it, or give this member another port.",
                SocketError.AddressNotAvailable =>
                    "This machine does not have that address: give one that it has, or '*' for all, as Listen, and in Members the one by which the others reach it.",
                _ => "Give another address or port as Listen, or in Members.",
            };
            throw new SocketException(
                (int)failure.SocketErrorCode,
                $"Members are to be heard on {options.Listen} (Listen, or else this member's endpoint in Members), and the system refuses: {failure.Message}. {mend}");
        }
        _listener = listener;
        var local = (IPEndPoint)listener.LocalEndPoint!;
        _endpoint = new NetworkAddress(local.Address.ToString(), local.Port).ToString();
        TransportLog.Listening(_context.Logger, Endpoint);
        _context.Tasks.Run(AcceptAsync);
    }

    public void Send(MemberId to, PeerMessage message)
    {
        var lane = Lanes.Of(message);
        if (PeerOf(to)?.Link is not { } link || !link.TrySend(message, lane))
        {
            _context.Counters.CountDrop(lane);
            return;
        }
        if (link.IsDirty)
            return;
        link.IsDirty = true;
        _dirty.Add(link);
    }

    public void Flush()
    {
        foreach (var link in _dirty)
        {
            link.IsDirty = false;
            link.Flush();
        }
        _dirty.Clear();
    }

    public void SetPeers(IReadOnlyDictionary<MemberId, string> endpoints)
    {
        foreach (var endpoint in endpoints.Values.Where(e => e.Length > 0))
            NetworkAddress.Parse(endpoint);
        lock (_gate)
        {
            _endpoints = endpoints;
            BecomeReady();
        }
    }

    public void SetHello(PeerHello hello)
    {
        lock (_gate)
        {
            _context.Hello = hello;
            _hasHello = true;
            BecomeReady();
        }
    }

    // The peer hears a goodbye, which is no evidence and which it answers by dialling within milliseconds; a refusal would keep it away for
    // longer.
    public void Relink(long link, string reason)
    {
        if (Find(link) is { Link: { } current })
            _context.Tasks.Run(() => current.CloseAsync(new LinkFrame.Goodbye(reason), reason));
    }

    public void Refuse(long link, string reason)
    {
        if (Find(link) is { Link: { } current } peer)
            peer.Refuse(current, reason);
    }

    /// <summary>
    /// Stops in order: queued messages and a goodbye go out on every link, for at most the stop time-out; then nothing runs any more.
    /// </summary>
    public Task StopAsync(string reason) => EndAsync(link => link.CloseAsync(new LinkFrame.Goodbye(reason), reason));

    /// <summary>Stops at once and without a word, as a crash would.</summary>
    public Task AbortAsync() => EndAsync(link =>
    {
        link.Reset();
        return Task.CompletedTask;
    });

    public async ValueTask DisposeAsync() => await AbortAsync().ConfigureAwait(false);

    private async Task EndAsync(Func<PeerLink, Task> end)
    {
        await _context.Stopping.CancelAsync().ConfigureAwait(false);
        _listener?.Dispose();
        _ready.TrySetCanceled();
        Peer?[] peers;
        lock (_gate)
            peers = [.. _peers];
        foreach (var peer in peers)
        {
            if (peer?.LinkToEnd() is { } link)
                _context.Tasks.Run(() => end(link));
        }
        await _context.Tasks.WhenNoneRuns().ConfigureAwait(false);
    }

    // Under the lock. Dialling and answering begin only once both are known: a hello judged without the peers would be refused.
    private void BecomeReady()
    {
        if (!_hasHello || _endpoints is null)
            return;
        foreach (var (member, endpoint) in _endpoints)
        {
            if (member != _context.Self)
                PeerFor(member).SetEndpoint(endpoint.Length > 0 ? endpoint : null);
        }
        // Observers come and go by themselves, and nobody names them.
        for (var id = 1; id <= MemberId.GreatestMember; id++)
        {
            // One that asks to be added is named once it is; until then its link is all that there is of it.
            if (_peers[id] is { } peer && !_endpoints.ContainsKey(peer.Id) && !_context.Options.AcceptUnknownMembers
                && peer.Link is not { Hello: { AsksToBeAdded: true, Incarnation: 0 } })
            {
                Volatile.Write(ref _peers[id], null);
                peer.Remove($"Member {_context.Self} keeps no links with member {id} any more: the membership does not name it.");
            }
            else if (_peers[id] is { } unknown && !_endpoints.ContainsKey(unknown.Id))
            {
                unknown.SetEndpoint(null);
            }
        }
        _ready.TrySetResult();
    }

    // An observer dials members, and no observer is dialled.
    private bool MayObserve(MemberId member) => member.IsObserver && !_context.Self.IsObserver;

    private Peer? Find(long link) => Array.Find(_peers, peer => peer?.Link?.Id == link);

    private Peer? PeerOf(MemberId member) => Volatile.Read(ref _peers[member.Value]);

    private Peer PeerFor(MemberId member)
    {
        if (PeerOf(member) is { } known)
            return known;
        var peer = new Peer(member, _context);
        Volatile.Write(ref _peers[member.Value], peer);
        return peer;
    }

    private async Task AcceptAsync()
    {
        var stop = _context.Stopping.Token;
        while (!stop.IsCancellationRequested)
        {
            Socket socket;
            try
            {
                socket = await _listener!.AcceptAsync(stop).ConfigureAwait(false);
            }
            catch (Exception stopped) when (stop.IsCancellationRequested
                && stopped is OperationCanceledException or ObjectDisposedException or SocketException)
            {
                return;
            }
            catch (SocketException failed)
            {
                // A connection that ended before it was accepted, or no file descriptors left: others may fare better a little later.
                TransportLog.AcceptFailed(_context.Logger, failed.Message);
                await Task.Delay(_context.Options.MaxBackoff, _context.Time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                continue;
            }

            if (!_handshakes.Wait(0, CancellationToken.None))
            {
                TransportLog.HandshakeFailed(_context.Logger, RemoteOf(socket), $"{_context.Options.MaxHandshakes} others are under way");
                socket.Dispose();
                continue;
            }
            _context.Tasks.Run(() => AnswerAsync(socket));
        }
    }

    private async Task AnswerAsync(Socket socket)
    {
        var remote = RemoteOf(socket);
        using var limit = new TimeLimit(_context.Options.HandshakeTimeout, _context.Time, _context.Stopping.Token);
        try
        {
            await _ready.Task.WaitAsync(limit.Token).ConfigureAwait(false);
            var connection = await WireConnection.OpenAsync(socket, _context.Options, null, limit.Token).ConfigureAwait(false);
            if (!await AnswerAsync(connection, remote, limit.Token).ConfigureAwait(false))
                connection.Dispose();
        }
        catch (Exception failed) when (failed is IOException or SocketException or ObjectDisposedException or OperationCanceledException
            or AuthenticationException)
        {
            if (!_context.Stopping.IsCancellationRequested)
                TransportLog.HandshakeFailed(
                    _context.Logger, remote, failed is OperationCanceledException ? "it took too long" : failed.Message);
            socket.Dispose();
        }
        finally
        {
            _handshakes.Release();
        }
    }

    /// <returns>Whether the connection belongs to a link now.</returns>
    private async Task<bool> AnswerAsync(WireConnection connection, string remote, CancellationToken deadline)
    {
        LinkFrame.Refusal? refusal;
        try
        {
            var first = await connection.ReadLinkFrameAsync(_context.Options.Versions, deadline).ConfigureAwait(false);
            if (first is null)
                return false; // A probe, or a dial that was taken back: nothing is wrong.
            refusal = first is LinkFrame.Hello hello ? Take(hello, connection)
                : throw new MalformedFrameException("A connection begins with a hello.");
        }
        catch (MalformedFrameException malformed)
        {
            _context.Counters.CountMalformed();
            refusal = new(RefusalCode.Malformed, malformed.Message);
        }
        if (refusal is null)
            return true;

        if (refusal.Code != RefusalCode.Crossed)
        {
            _context.Counters.CountRefused();
            LogRefusal(remote, refusal);
        }
        await connection.WriteAsync(refusal, deadline).ConfigureAwait(false);
        connection.EndSending();
        return false;
    }

    private LinkFrame.Refusal? Take(LinkFrame.Hello hello, WireConnection connection)
    {
        lock (_gate)
        {
            var unknownToo = _context.Options.AcceptUnknownMembers;
            if (HelloRules.Judge(_context.Options.Versions, _context.Hello, hello, MemberId.None, member =>
                unknownToo || MayObserve(member) || _endpoints!.ContainsKey(member), _context.Options.AdmitsJoiners) is { } refusal)
                return refusal;
            return PeerFor(hello.Said!.Member).TryAccept(hello, hello.Said, connection);
        }
    }

    // The other side comes again four times a second: say it once in a while.
    private void LogRefusal(string remote, LinkFrame.Refusal refusal)
    {
        lock (_gate)
        {
            var now = _context.Time.GetElapsedTime(0);
            if (refusal.Reason == _lastRefusal.Reason && now - _lastRefusal.At < RefusalLogPause)
                return;
            _lastRefusal = (refusal.Reason, now);
        }
        TransportLog.HandshakeFailed(_context.Logger, remote, refusal.Reason);
    }

    private static string RemoteOf(Socket socket)
    {
        try
        {
            return socket.RemoteEndPoint?.ToString() ?? "an unknown address";
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            return "an address that is gone";
        }
    }
}
