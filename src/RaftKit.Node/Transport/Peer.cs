using System.Net.Sockets;
using System.Security.Authentication;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;

namespace RaftKit.Node.Transport;

/// <summary>
/// One other member: at most one link with it at a time, a loop that dials while there is none, and the watch for its death. Both sides
/// dial, so that a restarted process is linked at once; where two dials cross, the one of the lower id wins.
/// </summary>
internal sealed class Peer(MemberId id, TransportContext context)
{
    // A killed process with much memory takes its time to go.
    private static readonly TimeSpan LongestLook = TimeSpan.FromSeconds(2);

    private readonly Lock _gate = new();
    private readonly Kick _kick = new(context.Time);
    private readonly CancellationTokenSource _removed = CancellationTokenSource.CreateLinkedTokenSource(context.Stopping.Token);
    private volatile PeerLink? _link;
    private string? _endpoint;
    private bool _isDialling;
    private bool _isRemoved;

    /// <summary>Our own dial whose hello is out and unanswered; null for none.</summary>
    private Dial? _dial;

    /// <summary>
    /// Our last dial was accepted and not answered: until a link is up, the other side's dials are not turned away for ours.
    /// </summary>
    private bool _dialsGoUnanswered;

    /// <summary>The latest start of the member that shook hands here.</summary>
    private PeerHello? _latest;
    private DeathWatch? _watch;
    private (int Incarnation, long Boot, bool Proven)? _reported;
    private TimeSpan _backoff = context.Options.MinBackoff;

    /// <summary>
    /// How long the next dial's handshake may take. One that is not answered soon may have gone into a hole, and another would not; a peer
    /// that is merely slow gets more each time.
    /// </summary>
    private TimeSpan _patience = context.Options.FirstPatience;
    private TimeSpan _nextDial;
    private RefusalCode? _lastRefusal;

    public MemberId Id => id;

    /// <summary>The link to send on; null while there is none.</summary>
    public PeerLink? Link => _link;

    /// <summary>Where to dial; null to wait for the other side's dials. Changes take effect at once.</summary>
    public void SetEndpoint(string? endpoint)
    {
        lock (_gate)
        {
            if (_isRemoved || _endpoint == endpoint)
                return;
            _endpoint = endpoint;
            _backoff = context.Options.MinBackoff;
            _nextDial = TimeSpan.Zero;
            if (endpoint is not null && !_isDialling)
            {
                _isDialling = true;
                context.Tasks.Run(DialWhileUnlinkedAsync);
            }
        }
        _kick.Now();
    }

    /// <summary>No links with this member any more.</summary>
    public void Remove(string reason)
    {
        PeerLink? link;
        lock (_gate)
        {
            _isRemoved = true;
            link = _link;
        }
        _removed.Cancel();
        if (link is not null)
            context.Tasks.Run(() => link.CloseAsync(new LinkFrame.Refusal(RefusalCode.Member, reason), reason));
    }

    /// <summary>The loop does not want this link.</summary>
    public void Refuse(PeerLink link, string reason)
    {
        TransportLog.Refused(context.Logger, RefusalCode.Unwanted, reason);
        context.Counters.CountRefused();
        context.Tasks.Run(() => link.CloseAsync(new LinkFrame.Refusal(RefusalCode.Unwanted, reason), reason));
    }

    /// <summary>The link to end, once the transport has begun to stop: none comes up after this.</summary>
    public PeerLink? LinkToEnd()
    {
        lock (_gate)
            return _link;
    }

    /// <summary>Takes a connection that this member dialled, or says why not. Its hello is judged already.</summary>
    public LinkFrame.Refusal? TryAccept(LinkFrame.Hello hello, PeerHello said, WireConnection connection)
    {
        PeerLink? replaced, link;
        LinkFrame.Hello reply;
        Dial? abandoned;
        lock (_gate)
        {
            if (IsClosed)
                return new(RefusalCode.Member, $"Member {context.Self} is stopping, or keeps no links with member {id} any more.");
            if (RefusalOf(hello, said) is { } refusal)
                return refusal;
            abandoned = _dial;
            _dial = null;
            reply = new LinkFrame.Hello(context.Options.Versions, context.NextAttempt(), context.Hello);
            (link, replaced) = Install(hello, said, reply.Said!, connection);
        }
        abandoned?.Abandon();
        replaced?.Abort(LinkEnd.Ours, "replaced");
        context.Tasks.Run(() => link.RunAsync(reply));
        return null;
    }

    // Read under the lock: after a removal or the beginning of a stop no link comes up any more.
    private bool IsClosed => _isRemoved || context.Stopping.IsCancellationRequested;

    // Under the lock.
    private LinkFrame.Refusal? RefusalOf(LinkFrame.Hello hello, PeerHello said)
    {
        if (_link is { } link)
        {
            // Of two that have no life each would break the other's link for as long as both run, and what one asked for be answered to the
            // other. So the first stays; it is not asked to prove anything, and its link ends soon after it does.
            if (said.Incarnation == 0 && IsAnotherProcess(said, link.Hello))
            {
                var doubled = $"Member {id} is linked with member {context.Self} as a process that listens at '{link.Hello.Endpoint}' (incarnation {link.Hello.Incarnation}), and another one without data, which "
                    + $"listens at '{said.Endpoint}', comes under the same number. If both run, give one of them a number (Member) that no member has; if it is one that was started "
                    + "again, it is linked once the link of before has ended.";
                context.Inbox.Post(new NodeInput.NumberDoubled(id, doubled));
                return new(RefusalCode.Superseded, doubled);
            }
            if (IsOlder(said, link.Hello))
            {
                return new(
                    RefusalCode.Superseded,
                    $"Member {id} is linked as incarnation {link.Hello.Incarnation}, boot {link.Hello.Boot}; this is incarnation "
                    + $"{said.Incarnation}, boot {said.Boot}: an older start, or a second process under the same member id.");
            }
            // The same process decided on this dial before it said hello on the link that is up: two dials crossed, and this is the
            // loser's. One that it decided on later means that it has lost the link.
            if (!IsOlder(link.Hello, said) && hello.Attempt < link.PeerAttempt)
                return Crossed();
        }
        else if (_dial is { } dial && context.Self.Value < id.Value && !_dialsGoUnanswered
            && Now() - dial.SaidHello < context.Options.CrossedFor)
        {
            return Crossed();
        }
        return null;
    }

    // Where a process cannot be told from others (HostProcess.Unknown), by its endpoint alone.
    private static bool IsAnotherProcess(PeerHello one, PeerHello other) =>
        (one.Process != other.Process && one.Process != HostProcess.Unknown && other.Process != HostProcess.Unknown)
        || (one.Endpoint.Length > 0 && other.Endpoint.Length > 0 && !NetworkAddress.AreSame(one.Endpoint, other.Endpoint));

    private static LinkFrame.Refusal Crossed() => new(RefusalCode.Crossed, "Both sides dialled at once; the other connection goes on.");

    // Under the lock, so that the end of the old link, the death of the old process and the new link are posted in this order.
    private (PeerLink Link, PeerLink? Replaced) Install(
        LinkFrame.Hello hello, PeerHello said, PeerHello told, WireConnection connection)
    {
        var replaced = _link;
        replaced?.End(LinkEnd.Ours);
        if (_latest is { } before && (before.Incarnation, before.Boot) != (said.Incarnation, said.Boot))
            HearOfNewStart(before, said);
        if (_latest is null || !IsOlder(said, _latest))
            _latest = said;
        _watch = null;
        _backoff = context.Options.MinBackoff;
        _patience = context.Options.FirstPatience;
        _dialsGoUnanswered = false;
        _lastRefusal = null;

        var link = new PeerLink(context.NextLink(), hello, said, told, connection, context, LinkEnded);
        context.Counters.CountLinkUp();
        TransportLog.LinkUp(context.Logger, link.Id, id, said.Incarnation, said.Boot, link.Version);
        link.Announce(shown => _link = shown);
        return (link, replaced);
    }

    private void HearOfNewStart(PeerHello before, PeerHello said)
    {
        // It had no life yet, and has begun one: nobody died.
        if (before.Incarnation == 0)
            return;
        var proven = before.Process.IsSurelyGone(context.Hello.Process);
        // An older start that comes back proves nothing about the newer one; its process may live beside it.
        if (proven || IsOlder(before, said))
        {
            Report(before, proven, $"Incarnation {said.Incarnation}, boot {said.Boot} of it shook hands"
                + (proven ? $" and process {before.Process.Pid} is gone." : "."));
        }
    }

    private void LinkEnded(PeerLink link, LinkEnd end, string reason)
    {
        TransportLog.LinkDown(context.Logger, link.Id, id, end, reason);
        lock (_gate)
        {
            if (_link != link)
                return;
            _link = null;
            // What was refused once is refused again: a broken link, on the other hand, is dialled anew at once.
            _nextDial = Now() + end switch
            {
                LinkEnd.Broken => TimeSpan.Zero,
                LinkEnd.Goodbye => context.Options.MinBackoff,
                _ => context.Options.MaxBackoff,
            };
            if (end == LinkEnd.Broken && _latest is { } latest)
            {
                _watch = new DeathWatch(latest.Process, context.Hello.Process, context.Options.RefusedForDeath, Now());
                if (id.IsObserver && _watch.CanBeProven)
                    LookForObserver(_watch, latest);
            }
        }
        _kick.Now();
    }

    // Nobody listens at an observer's end, so there is nothing to probe; but where it ran on this machine, its process is seen to be gone.
    private void LookForObserver(DeathWatch watch, PeerHello latest)
    {
        var until = Now() + LongestLook;
        context.Tasks.Run(async () =>
        {
            while (!_removed.IsCancellationRequested && Now() < until)
            {
                lock (_gate)
                {
                    if (_watch != watch || _link is not null)
                        return;
                    if (watch.Look() == DeathVerdict.Proven)
                    {
                        _watch = null;
                        Report(latest, true, $"Its link broke without a goodbye and its process {latest.Process.Pid} is gone.");
                        return;
                    }
                }
                await Task.Delay(context.Options.ProbeEvery, context.Time, _removed.Token).ConfigureAwait(
                    ConfigureAwaitOptions.SuppressThrowing);
            }
        });
    }

    private async Task DialWhileUnlinkedAsync()
    {
        try
        {
            while (true)
            {
                if (EndpointToDial(out var pause) is { } endpoint)
                    await DialOnceAsync(endpoint).ConfigureAwait(false);
                else
                    await _kick.WaitAsync(pause, _removed.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_removed.IsCancellationRequested)
        {
            // Stopped, or no peer any more.
        }
    }

    private string? EndpointToDial(out TimeSpan pause)
    {
        lock (_gate)
        {
            pause = Timeout.InfiniteTimeSpan;
            if (_link is not null || _endpoint is null)
                return null;
            pause = _nextDial - Now();
            return pause > TimeSpan.Zero ? null : _endpoint;
        }
    }

    private async Task DialOnceAsync(string endpoint)
    {
        var address = NetworkAddress.Parse(endpoint);
        Socket? socket;
        SocketError error;
        using (var limit = Limit(context.Options.ConnectTimeout))
        {
            try
            {
                (socket, error) = await WireConnection.ConnectAsync(address.ToEndPoint(), limit.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!_removed.IsCancellationRequested)
            {
                DialFailed(endpoint, ProbeOutcome.Unanswered, "no answer in time");
                return;
            }
            catch (SocketException failed)
            {
                DialFailed(endpoint, ProbeOutcome.Unanswered, failed.Message);
                return;
            }
        }
        if (socket is null)
        {
            DialFailed(
                endpoint, error == SocketError.ConnectionRefused ? ProbeOutcome.Refused : ProbeOutcome.Unanswered, error.ToString());
            return;
        }

        using var handshake = Limit(_patience);
        var dial = new Dial(socket, handshake);
        try
        {
            await ShakeHandsAsync(dial, address, handshake.Token).ConfigureAwait(false);
        }
        catch (Exception failed) when (failed is IOException or SocketException or ObjectDisposedException or OperationCanceledException
            or AuthenticationException or MalformedFrameException)
        {
            socket.Dispose();
            _removed.Token.ThrowIfCancellationRequested();
            NotShaken(dial, endpoint, failed);
        }
    }

    private async Task ShakeHandsAsync(Dial dial, NetworkAddress address, CancellationToken deadline)
    {
        var connection = await WireConnection.OpenAsync(dial.Socket, context.Options, address.Host, deadline).ConfigureAwait(false);
        var handedOver = false;
        try
        {
            LinkFrame.Hello ours;
            lock (_gate)
            {
                // From here on the lower id turns the other's dials away: it has said hello, or the other side has already linked.
                if (_link is not null)
                    return;
                ours = new LinkFrame.Hello(context.Options.Versions, context.NextAttempt(), context.Hello);
                dial.SaidHello = Now();
                _dial = dial;
            }
            await connection.WriteAsync(ours, deadline).ConfigureAwait(false);
            var answer = await connection.ReadLinkFrameAsync(context.Options.Versions, deadline).ConfigureAwait(false)
                ?? throw new IOException("the connection was closed in the middle of the handshake");
            handedOver = await TakeAnswerAsync(dial, ours.Said!, answer, connection, deadline).ConfigureAwait(false);
        }
        finally
        {
            lock (_gate)
            {
                if (_dial == dial)
                    _dial = null;
            }
            if (!handedOver)
                connection.Dispose();
        }
    }

    /// <returns>Whether the connection belongs to a link now.</returns>
    private async Task<bool> TakeAnswerAsync(
        Dial dial, PeerHello ours, LinkFrame answer, WireConnection connection, CancellationToken deadline)
    {
        switch (answer)
        {
            case LinkFrame.Refusal refusal:
                HearRefusal(refusal);
                return false;
            case LinkFrame.Hello hello when HelloRules.Judge(context.Options.Versions, ours, hello, id, _ => true) is { } refusal:
                context.Counters.CountRefused();
                HearMisfit(refusal);
                await connection.WriteAsync(refusal, deadline).ConfigureAwait(false);
                return false;
            case LinkFrame.Hello hello:
                PeerLink link;
                lock (_gate)
                {
                    // Abandoned while the answer was on its way: the other side's dial was taken instead.
                    if (_dial != dial || IsClosed)
                        return false;
                    _dial = null;
                    (link, _) = Install(hello, hello.Said!, ours, connection);
                }
                context.Tasks.Run(() => link.RunAsync(null));
                return true;
            default:
                throw new MalformedFrameException("A goodbye came instead of a hello.");
        }
    }

    // Whoever refuses lives: no evidence comes of this round.
    private void HearRefusal(LinkFrame.Refusal refusal)
    {
        bool isNews;
        lock (_gate)
        {
            _watch = null;
            _nextDial = Now() + (refusal.Code == RefusalCode.Crossed ? context.Options.MinBackoff : context.Options.MaxBackoff);
            isNews = refusal.Code != RefusalCode.Crossed && _lastRefusal != refusal.Code;
            _lastRefusal = refusal.Code;
        }
        if (isNews)
            TransportLog.RefusedByPeer(context.Logger, id, refusal.Code, refusal.Reason);
    }

    private void HearMisfit(LinkFrame.Refusal refusal)
    {
        bool isNews;
        lock (_gate)
        {
            _nextDial = Now() + context.Options.MaxBackoff;
            isNews = _lastRefusal != refusal.Code;
            _lastRefusal = refusal.Code;
        }
        if (isNews)
            TransportLog.Refused(context.Logger, refusal.Code, refusal.Reason);
    }

    private void DialFailed(string endpoint, ProbeOutcome outcome, string reason)
    {
        TransportLog.DialFailed(context.Logger, id, endpoint, reason);
        Observe(outcome, endpoint);
    }

    private void NotShaken(Dial dial, string endpoint, Exception failed)
    {
        if (dial.IsAbandoned)
            return;
        lock (_gate)
        {
            _dialsGoUnanswered = true;
            if (failed is OperationCanceledException)
                _patience = _patience * 2 < context.Options.HandshakeTimeout ? _patience * 2 : context.Options.HandshakeTimeout;
        }
        if (failed is AuthenticationException or MalformedFrameException)
            TransportLog.NotShaken(context.Logger, id, endpoint, failed.Message);
        else
            TransportLog.DialFailed(context.Logger, id, endpoint, failed.Message);
        Observe(ProbeOutcome.Accepted, endpoint);
    }

    private void Observe(ProbeOutcome outcome, string endpoint)
    {
        lock (_gate)
        {
            Judge(outcome, endpoint);
            if (_watch?.IsUrgent(Now()) == true)
            {
                _nextDial = Now() + context.Options.ProbeEvery;
                return;
            }
            _nextDial = Now() + _backoff;
            var doubled = _backoff * 2;
            _backoff = doubled < context.Options.MaxBackoff ? doubled : context.Options.MaxBackoff;
        }
    }

    // Under the lock.
    private void Judge(ProbeOutcome outcome, string endpoint)
    {
        // Linked meanwhile by the other side's dial: whoever shook hands lives.
        if (_watch is not { } watch || _latest is not { } latest || _link is not null)
            return;
        switch (watch.Observe(outcome, Now()))
        {
            case DeathVerdict.Believed:
                Report(latest, false, $"Its link broke without a goodbye and {watch.Refusals} probes of {endpoint} were refused.");
                break;
            case DeathVerdict.Proven:
                Report(latest, true, $"Its link broke without a goodbye and its process {latest.Process.Pid} is gone.");
                break;
        }
        if (watch.IsOver)
            _watch = null;
    }

    // Under the lock. Once for each start, and once more when belief becomes proof.
    private void Report(PeerHello dead, bool proven, string reason)
    {
        if (_reported is { } told && told.Incarnation == dead.Incarnation && told.Boot == dead.Boot && (told.Proven || !proven))
            return;
        _reported = (dead.Incarnation, dead.Boot, proven);
        TransportLog.PeerDied(context.Logger, id, dead.Incarnation, dead.Boot, proven, reason);
        context.Inbox.Post(new NodeInput.PeerDied(new DeathEvidence(id, dead.Incarnation, dead.Boot, proven, reason)));
    }

    private static bool IsOlder(PeerHello one, PeerHello other) =>
        one.Incarnation != other.Incarnation ? one.Incarnation < other.Incarnation : one.Boot < other.Boot;

    private TimeSpan Now() => context.Time.GetElapsedTime(0);

    private TimeLimit Limit(TimeSpan timeout) => new(timeout, context.Time, _removed.Token);

    /// <summary>One dial of ours, which the other side's may overtake.</summary>
    private sealed class Dial(Socket socket, TimeLimit handshake)
    {
        public Socket Socket => socket;

        public bool IsAbandoned { get; private set; }

        /// <summary>When.</summary>
        public TimeSpan SaidHello { get; set; }

        public void Abandon()
        {
            IsAbandoned = true;
            handshake.Cancel();
        }
    }
}
