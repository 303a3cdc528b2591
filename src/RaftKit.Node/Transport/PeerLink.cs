using System.Buffers;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using RaftKit.Consensus;
using RaftKit.Node.Loop;

namespace RaftKit.Node.Transport;

/// <summary>How a link ended.</summary>
internal enum LinkEnd
{
    /// <summary>The peer said goodbye.</summary>
    Goodbye,

    /// <summary>The peer sent a refusal.</summary>
    Refused,

    /// <summary>FIN, RST or a time-out, without a word: the first half of evidence of death.</summary>
    Broken,

    /// <summary>We ended it: replaced, refused, malformed input, or a stop.</summary>
    Ours,
}

/// <summary>
/// A link after both hellos: one pump that reads, one writer. Everything that the loop hears of it is posted under one lock that the end of
/// the link closes, so that LinkDown is really the last.
/// </summary>
internal sealed class PeerLink
{
    // Many small messages share a write up to this size; the priority lane is looked at again after each write.
    private const int BatchBytes = 64 * 1024;

    // What the writer may write on the thread of the loop before it leaves it.
    private const int MostInlineBytes = 256 * 1024;

    private readonly WireConnection _connection;
    private readonly TransportContext _context;
    private readonly Action<PeerLink, LinkEnd, string> _onEnded;
    private readonly SendQueue _queue;
    private readonly WriterSignal _signal;
    private readonly Lock _gate = new();
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile LinkFrame? _lastWords;
    private bool _ended;

    public PeerLink(
        long id, LinkFrame.Hello hello, PeerHello said, PeerHello told, WireConnection connection, TransportContext context,
        Action<PeerLink, LinkEnd, string> onEnded)
    {
        Id = id;
        PeerAttempt = hello.Attempt;
        Version = context.Options.Versions.Common(hello.Versions)
            ?? throw new InvariantBrokenException(
                $"a link came up with a process that speaks {hello.Versions}, and this one speaks {context.Options.Versions}");
        Hello = said;
        Told = told;
        _connection = connection;
        _context = context;
        _onEnded = onEnded;
        _queue = new SendQueue(context.Options);
        _signal = new WriterSignal(onOtherThread: context.Options.Security is not null);
    }

    public long Id { get; }

    public MemberId Peer => Hello.Member;

    /// <summary>The protocol's version on this link: the highest that both sides speak.</summary>
    public int Version { get; }

    public PeerHello Hello { get; }

    /// <summary>What we said of ourselves on this link.</summary>
    public PeerHello Told { get; }

    /// <summary>The attempt that the peer's hello on this link bore.</summary>
    public long PeerAttempt { get; }

    /// <summary>Whether something was queued since the last flush. The loop's thread only.</summary>
    public bool IsDirty { get; set; }

    /// <summary>
    /// Posts LinkUp, and lets the link be seen just before: what the loop answers to LinkUp goes over it already, and no end of it is
    /// posted earlier.
    /// </summary>
    public void Announce(Action<PeerLink> show)
    {
        lock (_gate)
        {
            show(this);
            _context.Inbox.Post(new NodeInput.LinkUp(Id, Hello, Told));
        }
    }

    /// <summary>Reads and writes until the link's end. Call it exactly once, whatever happened to the link meanwhile.</summary>
    /// <param name="first">What to write before anything else: the accepting side's hello.</param>
    public async Task RunAsync(LinkFrame? first)
    {
        await Task.WhenAll(Guarded(() => WriteAsync(first)), Guarded(ReadAsync)).ConfigureAwait(false);
        _done.SetResult();
    }

    public bool TrySend(PeerMessage message, Lane lane) => _queue.TryAdd(message, lane);

    public void Flush() => _signal.Set();

    /// <summary>Ends the link at once, without a word.</summary>
    public void Abort(LinkEnd end, string reason)
    {
        if (End(end))
            _onEnded(this, end, reason);
        _queue.Close(discard: true);
        _connection.Dispose();
        _signal.Set();
    }

    /// <summary>
    /// Ends the link at once, as the end of this process would: the peer has its evidence even where it has not read everything yet.
    /// </summary>
    public void Reset()
    {
        _connection.ResetWhenDisposed();
        Abort(LinkEnd.Ours, "aborted");
    }

    /// <summary>
    /// Ends the link for the loop at once, and for the peer with last words: a goodbye follows what is queued, a refusal does not wait for
    /// it. The task ends when the peer has read them, or after the stop time-out.
    /// </summary>
    public async Task CloseAsync(LinkFrame lastWords, string reason)
    {
        if (End(LinkEnd.Ours))
            _onEnded(this, LinkEnd.Ours, reason);
        _queue.Close(discard: lastWords is not LinkFrame.Goodbye);
        _lastWords = lastWords;
        _signal.Set();
        try
        {
            await _done.Task.WaitAsync(_context.Options.StopTimeout, _context.Time).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // The peer reads nothing: it learns from the end of the connection.
        }
        _connection.Dispose();
        _signal.Set();
        await _done.Task.ConfigureAwait(false);
    }

    /// <summary>The link's end for the loop: LinkDown, once, and nothing after it. No I/O, so that it may be called under a lock.</summary>
    /// <returns>Whether this call was the one that ended it.</returns>
    public bool End(LinkEnd end)
    {
        lock (_gate)
        {
            if (_ended)
                return false;
            _ended = true;
            _context.Inbox.Post(new NodeInput.LinkDown(Id, Peer, end == LinkEnd.Goodbye));
            return true;
        }
    }

    // Not on the thread that starts it: there may be much to read already.
    private Task ReadAsync()
    {
        // There may be a thousand observers, and no member's write waits for one: they get no thread each.
        if (Peer.IsObserver)
            _connection.ReadOnPool();
        else if (_connection.ReadOnOwnThread())
            return Task.Factory.StartNew(
                PumpAsync, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap();
        return Task.Run(PumpAsync);
    }

    private async Task PumpAsync()
    {
        try
        {
            while (true)
            {
                var read = await _connection.Input.ReadAsync().ConfigureAwait(false);
                var rest = Deliver(read.Buffer);
                _connection.Input.AdvanceTo(rest.Start, rest.End);
                if (read.IsCompleted)
                    break;
            }
            Abort(LinkEnd.Broken, "the connection was closed without a goodbye");
        }
        catch (MalformedFrameException malformed)
        {
            _context.Counters.CountMalformed();
            TransportLog.MalformedFrame(_context.Logger, Peer, Id, malformed.Message);
            _context.Tasks.Run(() => CloseAsync(new LinkFrame.Refusal(RefusalCode.Malformed, malformed.Message), malformed.Message));
        }
        finally
        {
            await _connection.Input.CompleteAsync().ConfigureAwait(false);
        }
    }

    // Everything whole in the buffer; returns what is not.
    private ReadOnlySequence<byte> Deliver(ReadOnlySequence<byte> buffer)
    {
        var frames = 0;
        var all = buffer.Length;
        // The loop would wait for whatever is decoded meanwhile.
        var entered = all <= BatchBytes && _context.Inbox.TryEnter();
        try
        {
            while (FrameReader.TryTake(ref buffer, _context.Options.MaxFrameBytes, out var body))
            {
                frames++;
                DeliverFrame(body);
            }
        }
        finally
        {
            if (entered)
                _context.Inbox.Leave();
        }
        if (frames > 0)
            _context.Counters.CountReceived(frames, all - buffer.Length);
        return buffer;
    }

    private void DeliverFrame(ReadOnlySequence<byte> body)
    {
        // The loop keeps what a message points to, and the pipe's memory is used again: what holds payloads gets an array of its own.
        var bytes = body.IsSingleSegment && !MessageCodec.KeepsSlices(body.FirstSpan) ? body.First : body.ToArray();
        if (HandshakeCodec.IsLinkFrame(bytes.Span))
        {
            HearLastWords(HandshakeCodec.Decode(bytes, _context.Options.Versions));
            return;
        }

        var message = MessageCodec.Decode(bytes);
        if (message is PeerMessage.Raft { Message: var raft } && (raft.From != Peer || raft.To != _context.Self))
            throw new MalformedFrameException(
                $"A message from member {raft.From} to member {raft.To} came over the link from member {Peer} to member {_context.Self}.");
        lock (_gate)
        {
            if (!_ended)
                _context.Inbox.Post(new NodeInput.Received(Id, Peer, message, bytes.Length));
        }
    }

    private void HearLastWords(LinkFrame frame)
    {
        switch (frame)
        {
            case LinkFrame.Goodbye goodbye:
                Abort(LinkEnd.Goodbye, goodbye.Reason);
                break;
            case LinkFrame.Refusal refusal:
                TransportLog.RefusedByPeer(_context.Logger, Peer, refusal.Code, refusal.Reason);
                Abort(LinkEnd.Refused, refusal.Reason);
                break;
            default:
                throw new MalformedFrameException("A second hello came on a link.");
        }
    }

    private async Task WriteAsync(LinkFrame? first)
    {
        if (first is not null)
            await _connection.WriteAsync(first, default).ConfigureAwait(false);
        var buffer = new FrameBuffer();
        var inline = 0;
        while (true)
        {
            while (Fill(buffer))
            {
                inline += buffer.Length;
                var write = _connection.WriteAsync(buffer.Written);
                if (!write.IsCompletedSuccessfully)
                {
                    await write.ConfigureAwait(false);
                    inline = 0;
                }
                buffer.Clear();
                if (inline > MostInlineBytes)
                {
                    await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
                    inline = 0;
                }
            }

            if (_lastWords is { } lastWords)
            {
                await _connection.WriteAsync(lastWords, default).ConfigureAwait(false);
                _connection.EndSending();
                return;
            }
            await _signal.WaitAsync().ConfigureAwait(false);
            inline = 0;
            if (_connection.IsDisposed)
                return;
        }
    }

    /// <summary>Gathers one write: all that is urgent, then entries in order, then at most one snapshot chunk.</summary>
    private bool Fill(FrameBuffer buffer)
    {
        var frames = 0;
        while (buffer.Length < BatchBytes && _queue.TryTake(Lane.Priority, out var message))
            frames += Encode(message, buffer);
        while (buffer.Length < BatchBytes && _queue.TryTake(Lane.Bulk, out var message))
            frames += Encode(message, buffer);
        if (buffer.Length < BatchBytes && _queue.TryTake(Lane.Snapshot, out var chunk))
            frames += Encode(chunk, buffer);
        if (frames == 0)
            return false;
        _context.Counters.CountWrite(frames, buffer.Length);
        return true;
    }

    private int Encode(PeerMessage message, FrameBuffer buffer)
    {
        buffer.BeginFrame();
        MessageCodec.Encode(message, buffer);
        if (buffer.EndFrame(_context.Options.MaxFrameBytes))
            return 1;
        _context.Counters.CountOversized();
        TransportLog.OversizedMessage(_context.Logger, Peer, MessageCodec.Weigh(message), _context.Options.MaxFrameBytes);
        return 0;
    }

    // The network may do anything, and ends the link; what is left is a fault of ours, and stops the node.
    private async Task Guarded(Func<Task> work)
    {
        try
        {
            await work().ConfigureAwait(false);
        }
        catch (Exception network) when (network is IOException or SocketException or ObjectDisposedException
            // A stream that is disposed under a read or write may say so in any way it likes.
            || (_connection.IsDisposed && network is not InvariantBrokenException))
        {
            Abort(LinkEnd.Broken, network.InnerException?.Message ?? network.Message);
        }
        catch (Exception ours)
        {
            Abort(LinkEnd.Ours, ours.Message);
            _context.Fail(ours);
        }
    }
}
