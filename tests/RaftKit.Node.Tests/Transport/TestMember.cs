using System.Globalization;
using Microsoft.Extensions.Logging;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Tests.Transport;

/// <summary>A member with a real transport on a free loopback port, and an inbox instead of a loop.</summary>
internal sealed class TestMember : IAsyncDisposable
{
    public static readonly Guid Cluster = new("00000000-0000-0000-0000-00000000c1c1");

    public TestMember(int id, TcpTransportOptions? options = null, TimeProvider? time = null)
    {
        Id = new MemberId(id);
        Transport = new TcpTransport(options ?? Options(), Inbox, time ?? TimeProvider.System, Logger);
        Transport.Start();
        Hello = new PeerHello(Cluster, Id, 1, 1, Transport.Endpoint, HostProcess.Unknown);
    }

    public MemberId Id { get; }

    public RecordingInbox Inbox { get; } = new();

    public RecordingLogger Logger { get; } = new();

    public TcpTransport Transport { get; }

    public PeerHello Hello { get; set; }

    public string Endpoint => Transport.Endpoint;

    public static TcpTransportOptions Options(int port = 0) => new() { Listen = $"127.0.0.1:{port}" };

    public static async Task<(TestMember One, TestMember Two)> LinkedPair(TcpTransportOptions? options = null)
    {
        // A dial that is given up after its other side took it is a link that goes, and another one comes: not here, however busy the machine.
        var patient = (options ?? Options()) with { HandshakeTimeout = TimeSpan.FromHours(10), CrossedFor = TimeSpan.FromHours(1) };
        var one = new TestMember(1, patient);
        var two = new TestMember(2, patient);
        one.Join(two);
        two.Join(one);
        await one.LinkUp();
        await two.LinkUp();
        return (one, two);
    }

    /// <summary>Begins to dial and answer.</summary>
    public void Join(params TestMember[] others) => Join([.. others.Select(o => (o.Id, o.Endpoint))]);

    public void Join(params (MemberId Id, string Endpoint)[] others)
    {
        Transport.SetPeers(others.ToDictionary(o => o.Id, o => o.Endpoint));
        Transport.SetHello(Hello);
    }

    public Task<NodeInput.LinkUp> LinkUp(int from = 0) => Inbox.Expect<NodeInput.LinkUp>(from: from);

    public void Send(MemberId to, PeerMessage message)
    {
        Transport.Send(to, message);
        Transport.Flush();
    }

    public ValueTask DisposeAsync() => Transport.DisposeAsync();
}

/// <summary>Keeps what was logged, as text, and lets a test wait for a line.</summary>
internal sealed class RecordingLogger : ILogger
{
    private readonly Lock _gate = new();
    private readonly List<string> _lines = [];
    private readonly List<(string Text, TaskCompletionSource Found)> _waiting = [];

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter)
    {
        var line = string.Create(CultureInfo.InvariantCulture, $"{logLevel} {eventId.Id} {formatter(state, exception)} {exception}");
        lock (_gate)
        {
            _lines.Add(line);
            foreach (var waiting in _waiting.Where(w => line.Contains(w.Text, StringComparison.Ordinal)))
                waiting.Found.TrySetResult();
        }
    }

    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_gate)
                return [.. _lines];
        }
    }

    public async Task Expect(string text)
    {
        var found = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_lines.Any(l => l.Contains(text, StringComparison.Ordinal)))
                return;
            _waiting.Add((text, found));
        }
        try
        {
            await found.Task.WaitAsync(TimeSpan.FromSeconds(20));
        }
        catch (TimeoutException)
        {
            throw new TimeoutException($"\"{text}\" was not logged; this was: {string.Join(Environment.NewLine, Lines)}");
        }
    }
}
